//! A TCP proxy that breaks on demand.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::Url;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

const CHUNK: usize = 16 * 1024;
const UNLIMITED: u64 = u64::MAX;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Line {
    Passing,
    /// Connections are taken and stay open, and nothing moves.
    Silent,
    /// Connections are broken, new ones refused.
    Cut,
}

/// Stands between a client and a server, and passes everything on until told otherwise.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    switch: Switch,
    listening: JoinHandle<()>,
}

#[derive(Clone, Debug)]
struct Switch {
    line: Arc<watch::Sender<Line>>,
    /// Bytes, both ways together, until the line is cut.
    budget: Arc<AtomicU64>,
}

impl Proxy {
    /// A proxy to `target`, on a port of its own.
    ///
    /// # Panics
    /// There is no free port.
    pub async fn to(target: SocketAddr) -> Self {
        let port = stack::free_port().expect("a port is free");
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = TcpListener::bind(addr).await.expect("the port is still free");
        let line = Arc::new(watch::Sender::new(Line::Passing));
        let switch = Switch { line, budget: Arc::new(AtomicU64::new(UNLIMITED)) };
        let listening = tokio::spawn(listen(addr, listener, target, switch.clone()));
        Self { addr, switch, listening }
    }

    /// A proxy to the server of `url`, and the URL that leads through it.
    ///
    /// # Panics
    /// The URL has no address in numbers with a port.
    pub async fn to_url(url: &str) -> (Self, String) {
        let mut url = Url::parse(url).expect("a URL");
        let target = format!("{}:{}", url.host_str().unwrap_or_default(), url.port().unwrap_or_default());
        let proxy = Self::to(target.parse().expect("an address in numbers and a port")).await;
        url.set_port(Some(proxy.addr.port())).expect("the URL had a port before");
        (proxy, url.into())
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Breaks all connections and refuses new ones.
    pub fn cut(&self) {
        self.switch.turn(Line::Cut);
    }

    /// Takes connections, keeps them, and moves no byte: what a client sees of a host that vanished.
    pub fn blackhole(&self) {
        self.switch.turn(Line::Silent);
    }

    /// Passes again; what a blackhole held back comes through.
    pub fn heal(&self) {
        self.switch.budget.store(UNLIMITED, Ordering::SeqCst);
        self.switch.turn(Line::Passing);
    }

    /// Cuts when `bytes` more have passed, both ways and all connections together.
    pub fn cut_after(&self, bytes: u64) {
        self.switch.budget.store(bytes, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
        self.cut();
    }
}

impl Switch {
    fn turn(&self, line: Line) {
        self.line.send_replace(line);
    }

    /// How many of `bytes` may still pass; less than all of them means that the line is cut behind them.
    fn spend(&self, bytes: usize) -> usize {
        let wanted = bytes as u64;
        let pay = |left| (left != UNLIMITED).then(|| u64::saturating_sub(left, wanted));
        match self.budget.fetch_update(Ordering::SeqCst, Ordering::SeqCst, pay) {
            Ok(left) => usize::try_from(left.min(wanted)).expect("no more than were asked for"),
            Err(_) => bytes,
        }
    }

    async fn until(&self, wanted: impl FnMut(&Line) -> bool) {
        // The sender lives in `self`, so the wait can only end well.
        self.line.subscribe().wait_for(wanted).await.expect("the switch is there");
    }
}

async fn listen(addr: SocketAddr, listener: TcpListener, target: SocketAddr, switch: Switch) {
    let mut listener = Some(listener);
    loop {
        if *switch.line.borrow() == Line::Cut {
            listener = None;
            switch.until(|line| *line != Line::Cut).await;
        }
        let open = match listener.take() {
            Some(open) => open,
            None => TcpListener::bind(addr).await.expect("nobody takes the port in between"),
        };
        tokio::select! {
            accepted = open.accept() => {
                let (client, _) = accepted.expect("a connection can be accepted");
                tokio::spawn(connect(client, target, switch.clone()));
            }
            () = switch.until(|line| *line == Line::Cut) => {}
        }
        listener = Some(open);
    }
}

async fn connect(client: TcpStream, target: SocketAddr, switch: Switch) {
    // A broken connection is reset, not closed politely.
    client.set_zero_linger().expect("an open socket has options");
    tokio::select! {
        // An error of either side ends the connection, which is all a proxy can say about it.
        _ = relay(client, target, &switch) => {}
        () = switch.until(|line| *line == Line::Cut) => {}
    }
}

async fn relay(client: TcpStream, target: SocketAddr, switch: &Switch) -> std::io::Result<()> {
    switch.until(|line| *line != Line::Silent).await;
    let server = TcpStream::connect(target).await?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::try_join!(pump(from_client, to_server, switch), pump(from_server, to_client, switch))?;
    Ok(())
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    switch: &Switch,
) -> std::io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = from.read(&mut chunk).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        switch.until(|line| *line == Line::Passing).await;
        let allowed = switch.spend(read);
        to.write_all(&chunk[..allowed]).await?;
        if allowed < read {
            switch.turn(Line::Cut);
        }
    }
}
