use clap::Args;

/// Everything that the function reads from its environment.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Settings {
    /// Logs, metrics and requests.
    #[command(flatten)]
    pub service: service::Settings,
    /// The key that signs tokens.
    #[command(flatten)]
    pub auth: auth::SignerSettings,
    /// Where the users are.
    #[command(flatten)]
    pub store: store::Settings,
}
