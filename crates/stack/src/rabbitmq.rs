use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use tokio::process::Command;

use crate::owner::Owner;
use crate::process::{self, Process};

/// Not `/usr/sbin/rabbitmq-server`, which insists on being root or `rabbitmq`.
const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
const EPMD: &str = "/usr/bin/epmd";
const INSTALL: &str = "RabbitMQ is not installed; run: sudo apt-get install -y --no-install-recommends rabbitmq-server";
const USER: &str = "vc";
const NAME: &str = "rabbitmq";
const PATIENCE: Duration = Duration::from_secs(90);
const STOPS_WITHIN: Duration = Duration::from_secs(15);

/// A private RabbitMQ node below `DIR/rabbitmq`, with a port mapper (epmd) of its own, so that nodes side by side know
/// nothing of each other.
#[derive(Debug)]
pub(crate) struct Rabbitmq {
    dir: PathBuf,
    owner: Owner,
    password: String,
    ports: Ports,
    epmd: Option<Process>,
    broker: Option<Process>,
}

#[derive(Debug)]
struct Ports {
    amqp: u16,
    management: u16,
    prometheus: u16,
    distribution: u16,
    epmd: u16,
}

impl Ports {
    fn free() -> Result<Self> {
        let free = crate::ports::free;
        Ok(Self { amqp: free()?, management: free()?, prometheus: free()?, distribution: free()?, epmd: free()? })
    }
}

impl Rabbitmq {
    pub(crate) async fn start(dir: &Path, password: &str) -> Result<Self> {
        ensure!(Path::new(SERVER).exists() && Path::new(EPMD).exists(), INSTALL);
        let (dir, owner) = (dir.join(NAME), Owner::new(NAME)?);
        owner.make_dir(&dir)?;
        // SIGKILL is safe: whatever was confirmed is on the disk.
        process::end_leftover(NAME, &dir, Signal::KILL, STOPS_WITHIN).await?;
        process::end_leftover("epmd", &dir, Signal::KILL, STOPS_WITHIN).await?;
        let (password, ports) = (password.to_owned(), Ports::free()?);
        let mut node = Self { dir, owner, password, ports, epmd: None, broker: None };
        if let Err(error) = node.launch().await {
            ensure!(crate::ports::was_taken(&error), error);
            node.epmd = None;
            node.ports = Ports::free()?;
            node.launch().await?;
        }
        Ok(node)
    }

    pub(crate) fn amqp_url(&self, password: &str) -> String {
        format!("amqp://{USER}:{password}@127.0.0.1:{}/%2f", self.ports.amqp)
    }

    pub(crate) fn management_url(&self, password: &str) -> String {
        format!("http://{USER}:{password}@127.0.0.1:{}", self.ports.management)
    }

    /// Starts the node on the data that is there, and returns when it takes connections.
    pub(crate) async fn launch(&mut self) -> Result<()> {
        self.prepare()?;
        if self.epmd.is_none() {
            self.epmd = Some(self.launch_epmd().await?);
        }
        let mut broker = Process::spawn(NAME, &self.dir, &mut self.server_command())?;
        broker.until(PATIENCE, has_booted).await?;
        std::fs::write(self.booted(), "")?;
        self.broker = Some(broker);
        Ok(())
    }

    /// Starts the node again if it died; one that was killed on purpose stays dead.
    pub(crate) async fn revive(&mut self) -> Result<bool> {
        let ended = match &mut self.broker {
            Some(broker) => broker.has_ended()?,
            None => false,
        };
        if ended {
            self.launch().await?;
        }
        Ok(ended)
    }

    /// SIGKILL for the Erlang VM, and so for everything in it.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        match self.broker.take() {
            Some(mut broker) => broker.kill().await,
            None => Ok(()),
        }
    }

    pub(crate) async fn stop(&mut self) -> Result<()> {
        if let Some(mut broker) = self.broker.take() {
            broker.stop(Signal::TERM, STOPS_WITHIN).await?;
        }
        match self.epmd.take() {
            Some(mut epmd) => epmd.kill().await,
            None => Ok(()),
        }
    }

    fn prepare(&self) -> Result<()> {
        // A first start that was cut off leaves a schema without a user. Nothing can have been stored in it.
        if !self.booted().exists() && self.mnesia().exists() {
            std::fs::remove_dir_all(self.mnesia()).context("cannot clear a half-made broker")?;
        }
        self.owner.write(&self.dir.join("rabbitmq.conf"), &self.configuration())?;
        self.owner.write(&self.dir.join("enabled_plugins"), "[rabbitmq_management,rabbitmq_prometheus].\n")
    }

    /// In the foreground, as a child: the broker would leave a daemon behind.
    async fn launch_epmd(&self) -> Result<Process> {
        let mut command = self.owner.command(Path::new(EPMD), &self.dir, "KILL");
        command.args(["-address", "127.0.0.1", "-port", &self.ports.epmd.to_string()]);
        let mut epmd = Process::spawn("epmd", &self.dir, &mut command)?;
        let port = self.ports.epmd;
        epmd.until(PATIENCE, |_| listens(port)).await?;
        Ok(epmd)
    }

    fn server_command(&self) -> Command {
        let mut command = self.owner.command(Path::new(SERVER), &self.dir, "KILL");
        // Makes the script `exec` the VM, so that the VM is our child and gets our signals.
        command.env("detached", "1");
        command.env("ERL_EPMD_ADDRESS", "127.0.0.1").env("ERL_EPMD_PORT", self.ports.epmd.to_string());
        // The data belongs to a node of this name.
        command.env("RABBITMQ_NODENAME", "rabbit@localhost");
        command.env("RABBITMQ_DIST_PORT", self.ports.distribution.to_string());
        command.env("RABBITMQ_MNESIA_BASE", self.mnesia());
        command.env("RABBITMQ_LOG_BASE", self.dir.join("log"));
        command.env("RABBITMQ_CONFIG_FILE", self.dir.join("rabbitmq.conf"));
        command.env("RABBITMQ_ENABLED_PLUGINS_FILE", self.dir.join("enabled_plugins"));
        command.env("RABBITMQ_CONF_ENV_FILE", "/dev/null");
        let arguments = "+S 2:2 -kernel inet_dist_use_interface {127,0,0,1}";
        command.env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", arguments);
        command
    }

    /// The acknowledgement timeout must be longer than the longest conversion.
    fn configuration(&self) -> String {
        let Ports { amqp, management, prometheus, .. } = self.ports;
        let password = &self.password;
        format!(
            "listeners.tcp.1 = 127.0.0.1:{amqp}\n\
             management.tcp.ip = 127.0.0.1\n\
             management.tcp.port = {management}\n\
             prometheus.tcp.ip = 127.0.0.1\n\
             prometheus.tcp.port = {prometheus}\n\
             default_user = {USER}\n\
             default_pass = {password}\n\
             consumer_timeout = 14400000\n\
             vm_memory_high_watermark.absolute = 512MB\n\
             disk_free_limit.absolute = 50MB\n\
             log.console = false\n\
             log.file = rabbitmq.log\n\
             log.file.rotation.size = 10485760\n\
             log.file.rotation.count = 2\n"
        )
    }

    fn mnesia(&self) -> PathBuf {
        self.dir.join("mnesia")
    }

    fn booted(&self) -> PathBuf {
        self.dir.join("booted")
    }
}

/// By its own words: a port could be somebody else's. The listeners are up before the node says it.
fn has_booted(log: &Path) -> bool {
    std::fs::read_to_string(log).is_ok_and(|log| log.contains("Starting broker... completed"))
}

/// Loopback answers at once, so this may block.
fn listens(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok()
}
