//! Text that others wrote, made fit for one line of a terminal.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// One line: control characters and those that turn the direction of text are shown as spaces, runs of space as one.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(1024));
    for word in text.split(|c: char| c.is_whitespace() || is_dangerous(c)).filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    line
}

/// Lines as they are, but what cannot be seen, moves the cursor or turns the direction of text is written out (`\u{202e}`): for what people
/// decide on, where nothing may be hidden and nothing dropped.
pub(crate) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        let hidden = is_dangerous(c)
            || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}');
        if hidden && c != '\n' && c != '\t' {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Escape sequences move the cursor and set titles; bidirectional controls make text read other than it is.
fn is_dangerous(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text in at most `columns` columns, with `…` where it was cut.
pub(crate) fn fit(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut left = columns.saturating_sub(1);
    let mut cut = String::new();
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if wide > left {
            break;
        }
        left -= wide;
        cut.push(c);
    }
    if columns > 0 {
        cut.push('…');
    }
    cut
}

/// The text, padded to `columns` columns.
pub(crate) fn pad(text: &str, columns: usize) -> String {
    let mut padded = text.to_owned();
    padded.extend(std::iter::repeat_n(' ', columns.saturating_sub(text.width())));
    padded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_model_wrote_cannot_move_the_cursor() {
        let line = one_line("a\x1b]0;owned\x07b\r\n\tc\u{9b}2Jd\u{202e}e");
        assert_eq!(line, "a ]0;owned b c 2Jd e");
        assert!(!line.chars().any(is_dangerous));
    }

    #[test]
    fn what_people_decide_on_hides_nothing() {
        assert_eq!(visible("+a\tb\n+c\u{202e}d\u{200b}\x1b[2K\r\n"), "+a\tb\n+c\\u{202e}d\\u{200b}\\u{1b}[2K\\u{d}\n");
    }

    #[test]
    fn a_line_fits_its_columns_even_with_wide_characters() {
        assert_eq!(fit("abcdef", 6), "abcdef");
        assert_eq!(fit("abcdefg", 6), "abcde…");
        assert_eq!(fit("漢字漢字", 5), "漢字…");
        assert_eq!(fit("漢字漢字", 4), "漢…");
        assert_eq!(fit("abc", 0), "");
        assert_eq!(pad("漢", 4), "漢  ");
    }
}
