//! Charts as SVG text.

use plotters::prelude::*;

use crate::time::{NS_PER_SECOND, Time};

/// A chart's size, pixels: it scales with the page.
const SIZE: (u32, u32) = (1_000, 280);

/// One line, and marks on it.
pub(super) struct Chart<'a> {
    pub(super) title: &'a str,
    pub(super) line: &'a [(Time, f64)],
    /// Bought and sold, at their prices.
    pub(super) bought: &'a [(Time, f64)],
    pub(super) sold: &'a [(Time, f64)],
    pub(super) color: RGBColor,
}

const BOUGHT: RGBColor = RGBColor(0x1a, 0x7f, 0x37);
const SOLD: RGBColor = RGBColor(0xcf, 0x22, 0x2e);

fn seconds(at: Time) -> i64 {
    at.0.div_euclid(NS_PER_SECOND)
}

/// Lowest and highest of both axes, apart even where nothing moves.
fn ranges(chart: &Chart<'_>) -> Option<((i64, i64), (f64, f64))> {
    let points = || chart.line.iter().chain(chart.bought).chain(chart.sold).filter(|(_, value)| value.is_finite());
    let (first, last) = (points().map(|(at, _)| seconds(*at)).min()?, points().map(|(at, _)| seconds(*at)).max()?);
    let (low, high) = points().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), (_, value)| (low.min(*value), high.max(*value)));
    let room = ((high - low) * 0.04).max(high.abs() * 1e-6).max(1e-9);
    Some(((first, last.max(first + 1)), (low - room, high + room)))
}

/// The chart; none without points.
pub(super) fn svg(chart: &Chart<'_>) -> Option<Result<String, String>> {
    let (times, values) = ranges(chart)?;
    let mut text = String::new();
    let drawn = draw(&mut text, chart, times, values);
    Some(drawn.map(|()| text))
}

fn draw(text: &mut String, chart: &Chart<'_>, times: (i64, i64), values: (f64, f64)) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("drawing {}: {error}", chart.title);
    let area = SVGBackend::with_string(text, SIZE).into_drawing_area();
    let mut context = ChartBuilder::on(&area)
        .caption(chart.title, ("sans-serif", 16))
        .margin(8)
        .x_label_area_size(24)
        .y_label_area_size(72)
        .build_cartesian_2d(times.0..times.1, values.0..values.1)
        .map_err(|error| failed(&error))?;
    let date = |at: &i64| Time(at.saturating_mul(NS_PER_SECOND)).date().to_string();
    let mut mesh = context.configure_mesh();
    mesh.x_labels(8)
        .y_labels(6)
        .x_label_formatter(&date)
        .light_line_style(RGBColor(0xf0, 0xf0, 0xf0))
        .draw()
        .map_err(|error| failed(&error))?;
    let line = chart.line.iter().filter(|(_, value)| value.is_finite()).map(|(at, value)| (seconds(*at), *value));
    context.draw_series(LineSeries::new(line, chart.color)).map_err(|error| failed(&error))?;
    for (marks, color, up) in [(chart.bought, BOUGHT, true), (chart.sold, SOLD, false)] {
        let points = marks.iter().map(|(at, value)| {
            let place = (seconds(*at), *value);
            // A seller's mark hangs from the price, a buyer's stands on it.
            EmptyElement::at(place)
                + Polygon::new(if up { [(-4, 9), (4, 9), (0, 2)] } else { [(-4, -9), (4, -9), (0, -2)] }, color.filled())
        });
        context.draw_series(points).map_err(|error| failed(&error))?;
    }
    area.present().map_err(|error| failed(&error))
}
