//! Passwords, tokens and the caller of a request.
//!
//! Only `login` holds a private key and sees passwords; the other functions verify tokens with the
//! public keys alone and learn who calls from the [`Caller`] extractor.

mod caller;
mod claims;
mod key;
pub mod passwords;
mod signer;
mod verifier;

pub use caller::{BasicCredentials, Caller, invalid_token, wrong_credentials};
pub use claims::{Claims, TokenSettings};
pub use key::generate_private_key_pem;
pub use passwords::{Busy, Hasher, Verdict};
pub use signer::{Signer, SignerSettings};
pub use verifier::{InvalidToken, Verifier, VerifierSettings};
