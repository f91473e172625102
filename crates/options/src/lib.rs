//! What a client may ask of a conversion: one struct for the API, the CLI and the job.
//!
//! A crate of its own, because `upload` validates options and must not link the engine that obeys them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// How to encode. Unknown fields are refused; absent ones take their default. More fields will come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Constant bit rate in kbit/s, 128 if not given.
    pub bitrate: Bitrate,
}

/// A constant bit rate of MPEG-1 or MPEG-2 Layer III, in kbit/s (ISO/IEC 11172-3 and 13818-3, table of `bitrate_index`).
///
/// Low sample rates know fewer of them (MPEG-2, up to 24 kHz: at most 160; below 16 kHz: at most 64); LAME then takes the
/// nearest that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Bitrate(u16);

impl Bitrate {
    /// All that can be asked for, ascending.
    pub const VALID: [u16; 18] = [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 192, 224, 256, 320];

    /// In kbit/s.
    pub fn kbps(self) -> u16 {
        self.0
    }
}

impl Default for Bitrate {
    fn default() -> Self {
        Self(128)
    }
}

impl TryFrom<u16> for Bitrate {
    type Error = InvalidBitrate;

    fn try_from(kbps: u16) -> Result<Self, InvalidBitrate> {
        if Self::VALID.contains(&kbps) { Ok(Self(kbps)) } else { Err(InvalidBitrate(kbps.to_string())) }
    }
}

impl FromStr for Bitrate {
    type Err = InvalidBitrate;

    fn from_str(text: &str) -> Result<Self, InvalidBitrate> {
        let kbps: u16 = text.trim().parse().map_err(|_| InvalidBitrate(text.to_owned()))?;
        Self::try_from(kbps)
    }
}

impl From<Bitrate> for u16 {
    fn from(bitrate: Bitrate) -> Self {
        bitrate.0
    }
}

impl fmt::Display for Bitrate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names the field, its valid values and what was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidBitrate(String);

impl fmt::Display for InvalidBitrate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let valid: Vec<String> = Bitrate::VALID.iter().map(u16::to_string).collect();
        write!(f, "bitrate must be one of {} (kbit/s), not {:?}", valid.join(", "), self.0)
    }
}

impl std::error::Error for InvalidBitrate {}

/// An option that cannot be honoured. The sentence names it and what is valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// No such option.
    #[error("there is no option `{0}`; the options are: bitrate")]
    Unknown(String),
    /// An option with an impossible value.
    #[error(transparent)]
    Bitrate(#[from] InvalidBitrate),
}

impl Options {
    /// Sets one option by its name, as a form or a query gives it.
    ///
    /// # Errors
    /// [`Invalid`], naming the option and its valid values.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), Invalid> {
        match name {
            "bitrate" => self.bitrate = value.parse()?,
            _ => return Err(Invalid::Unknown(name.to_owned())),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_chosen_is_128_kbit_per_second() {
        let options: Options = serde_json::from_str("{}").expect("valid");
        assert_eq!(options.bitrate.kbps(), 128);
    }

    #[test]
    fn options_survive_a_round_trip() {
        let options = Options { bitrate: "320".parse().expect("valid") };
        let json = serde_json::to_string(&options).expect("valid");
        assert_eq!(json, r#"{"bitrate":320}"#);
        assert_eq!(serde_json::from_str::<Options>(&json).expect("valid"), options);
    }

    #[test]
    fn an_impossible_bitrate_is_refused_with_the_valid_ones() {
        let error = serde_json::from_str::<Options>(r#"{"bitrate":100}"#).expect_err("refused").to_string();
        assert!(
            error.contains("bitrate must be one of 8, 16,") && error.contains("320 (kbit/s), not \"100\""),
            "{error}"
        );
        assert!("loud".parse::<Bitrate>().expect_err("refused").to_string().ends_with("not \"loud\""));
    }

    #[test]
    fn an_unknown_option_is_refused_by_name() {
        let error = serde_json::from_str::<Options>(r#"{"bitrat":128}"#).expect_err("refused").to_string();
        assert!(error.contains("bitrat"), "{error}");
    }

    #[test]
    fn an_unknown_option_of_a_form_is_named() {
        let error = Options::default().set("bitrat", "128").expect_err("unknown");
        assert!(error.to_string().contains("`bitrat`"), "{error}");
    }

    #[test]
    fn an_option_of_a_form_is_set_by_its_name() {
        let mut options = Options::default();
        options.set("bitrate", "192").expect("valid");
        assert_eq!(options.bitrate.kbps(), 192);
    }
}
