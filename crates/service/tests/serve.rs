//! Connections: bounded, finished on a soft shutdown, cut on a hard one.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, routing::get};
use clap::{Args, Command, FromArgMatches};
use service::{Shutdown, serve};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
    time::timeout,
};

const LONG: Duration = Duration::from_secs(30);

struct Server {
    address: SocketAddr,
    shutdown: Shutdown,
    served: JoinHandle<anyhow::Result<()>>,
    /// A request to `/slow` has come in.
    entered: Arc<Notify>,
    /// Lets it go.
    released: Arc<Notify>,
}

impl Server {
    async fn start(max_connections: &str) -> Self {
        let flags = ["x", "--max-connections", max_connections];
        let command = serve::Settings::augment_args(Command::new("x"));
        let settings = command.get_matches_from(flags);
        let settings = serve::Settings::from_arg_matches(&settings).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (entered, released) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let router = router(entered.clone(), released.clone());
        let shutdown = Shutdown::manual(LONG * 100);
        let stop = shutdown.clone();
        let served = tokio::spawn(async move { serve::on(listener, router, &settings, stop).await });
        Self { address, shutdown, served, entered, released }
    }

    async fn get(&self, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    async fn stopped(self) {
        timeout(LONG, self.served).await.expect("it stops").unwrap().unwrap();
    }
}

fn router(entered: Arc<Notify>, released: Arc<Notify>) -> Router {
    let slow = async move || {
        entered.notify_one();
        released.notified().await;
        "slow"
    };
    Router::new().route("/", get(async || "quick")).route("/slow", get(slow))
}

async fn answer(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    timeout(LONG, stream.read_to_string(&mut answer)).await.expect("an answer").unwrap();
    answer
}

#[tokio::test]
async fn a_soft_shutdown_finishes_what_is_in_flight_and_takes_nothing_new() {
    let server = Server::start("8").await;
    let slow = server.get("/slow").await;
    server.entered.notified().await;
    server.shutdown.request();
    assert!(refuses(server.address).await, "it still listens");
    server.released.notify_one();
    assert!(answer(slow).await.ends_with("slow"));
    server.stopped().await;
}

#[tokio::test]
async fn a_hard_shutdown_cuts_what_is_in_flight() {
    let server = Server::start("8").await;
    let slow = server.get("/slow").await;
    server.entered.notified().await;
    server.shutdown.request();
    server.shutdown.request();
    assert_eq!(answer(slow).await, "");
    server.stopped().await;
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_up_a_soft_shutdown() {
    let server = Server::start("8").await;
    let idle = TcpStream::connect(server.address).await.unwrap();
    assert!(answer(server.get("/").await).await.ends_with("quick"));
    server.shutdown.request();
    server.stopped().await;
    assert_eq!(answer(idle).await, "");
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_for_a_slot() {
    let server = Server::start("1").await;
    let slow = server.get("/slow").await;
    server.entered.notified().await;
    let mut next = server.get("/").await;
    let waited = timeout(Duration::from_millis(200), next.read_u8()).await;
    assert!(waited.is_err(), "a second connection was served");
    server.released.notify_one();
    assert!(answer(slow).await.ends_with("slow"));
    assert!(answer(next).await.ends_with("quick"));
    server.shutdown.request();
    server.stopped().await;
}

/// The listener closes a moment after the request to stop: no event tells when.
async fn refuses(address: SocketAddr) -> bool {
    let refused = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, refused).await.is_ok()
}
