//! Who the operator is to a bucket.

use std::fmt;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};

use super::place::InvalidArtifactsPlace;

/// Keys, or a token for which keys are given out for a while. Shows which of them it is, and nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Credentials {
    Keys {
        access_key_id: String,
        secret_access_key: String,
        session_token: Option<String>,
    },
    /// A service account's token, for which AWS gives a role (IRSA).
    WebIdentity {
        role: String,
        token_file: String,
    },
    /// A service account's token, for which an agent on the node gives a role (EKS Pod Identity).
    PodIdentity {
        agent: String,
        token_file: String,
    },
}

const NONE: &str = "there are no keys to the bucket: give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment (with the chart a \
                    Secret, artifacts.s3.secretName), or a service account with a role";

impl Credentials {
    /// By the names that AWS's own programs know:
    /// https://docs.aws.amazon.com/sdkref/latest/guide/environment-variables.html
    pub(super) fn of(said: impl Fn(&str) -> Option<String>) -> Result<Credentials, InvalidArtifactsPlace> {
        let visible = |name: &str| -> Result<Option<String>, InvalidArtifactsPlace> {
            let value = said(name);
            // It becomes a header.
            if value.as_deref().is_some_and(|value| !value.bytes().all(|byte| byte.is_ascii_graphic())) {
                let why = format!("{name} has a character that no such value has, such as a space or a line break at its end");
                return Err(InvalidArtifactsPlace::because(why));
            }
            Ok(value)
        };
        match (visible("AWS_ACCESS_KEY_ID")?, visible("AWS_SECRET_ACCESS_KEY")?) {
            (Some(access_key_id), Some(secret_access_key)) => {
                let session_token = visible("AWS_SESSION_TOKEN")?;
                return Ok(Credentials::Keys { access_key_id, secret_access_key, session_token });
            }
            (None, None) => {}
            (Some(_), None) | (None, Some(_)) => {
                return Err(InvalidArtifactsPlace::because(
                    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY belong together, and only one of them is given",
                ));
            }
        }
        if let (Some(role), Some(token_file)) = (visible("AWS_ROLE_ARN")?, said("AWS_WEB_IDENTITY_TOKEN_FILE")) {
            return Ok(Credentials::WebIdentity { role, token_file });
        }
        let agent = visible("AWS_CONTAINER_CREDENTIALS_FULL_URI")?;
        if let (Some(agent), Some(token_file)) = (agent, said("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")) {
            return Ok(Credentials::PodIdentity { agent, token_file });
        }
        Err(InvalidArtifactsPlace::because(NONE))
    }

    pub(super) fn given_to(&self, builder: AmazonS3Builder) -> AmazonS3Builder {
        match self {
            Credentials::Keys { access_key_id, secret_access_key, session_token } => {
                let builder = builder.with_access_key_id(access_key_id).with_secret_access_key(secret_access_key);
                session_token.iter().fold(builder, |builder, token| builder.with_token(token))
            }
            Credentials::WebIdentity { role, token_file } => builder
                .with_config(AmazonS3ConfigKey::RoleArn, role)
                .with_config(AmazonS3ConfigKey::RoleSessionName, "reeve")
                .with_config(AmazonS3ConfigKey::WebIdentityTokenFile, token_file),
            Credentials::PodIdentity { agent, token_file } => builder
                .with_config(AmazonS3ConfigKey::ContainerCredentialsFullUri, agent)
                .with_config(AmazonS3ConfigKey::ContainerAuthorizationTokenFile, token_file),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Credentials::Keys { .. } => "Keys",
            Credentials::WebIdentity { .. } => "WebIdentity",
            Credentials::PodIdentity { .. } => "PodIdentity",
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn of(values: &[(&str, &str)]) -> Result<Credentials, InvalidArtifactsPlace> {
        Credentials::of(|name| values.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn keys_come_before_a_role_and_neither_is_shown() {
        let keys = [("AWS_ACCESS_KEY_ID", "AKIA"), ("AWS_SECRET_ACCESS_KEY", "hunter2"), ("AWS_SESSION_TOKEN", "hunter2")];
        let role = [("AWS_ROLE_ARN", "arn:aws:iam::1:role/reeve"), ("AWS_WEB_IDENTITY_TOKEN_FILE", "/token")];
        let agent =
            [("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1"), ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/token")];
        assert_eq!(format!("{:?}", of(&[&keys[..], &role[..]].concat()).unwrap()), "Keys");
        assert_eq!(format!("{:?}", of(&[&role[..], &agent[..]].concat()).unwrap()), "WebIdentity");
        assert_eq!(format!("{:?}", of(&agent).unwrap()), "PodIdentity");
    }

    #[test]
    fn half_of_a_pair_and_a_line_break_are_refused_and_not_repeated() {
        for (values, why) in [
            (&[][..], "there are no keys"),
            (&[("AWS_ACCESS_KEY_ID", "hunter2")], "belong together"),
            (&[("AWS_SECRET_ACCESS_KEY", "hunter2")], "belong together"),
            (&[("AWS_ACCESS_KEY_ID", "AKIA"), ("AWS_SECRET_ACCESS_KEY", "hunter2\n")], "AWS_SECRET_ACCESS_KEY has a character"),
            (&[("AWS_ROLE_ARN", "hunter2")], "there are no keys"),
        ] {
            let refused = of(values).unwrap_err();
            let shown = format!("{refused} {refused:?}");
            assert!(shown.contains(why) && !shown.contains("hunter2"), "{shown}");
        }
    }
}
