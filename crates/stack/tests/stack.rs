//! The servers themselves: they come up, keep their data, and never outlive their process.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use stack::{Durability, Stack};

/// A directory with a blank in its name below one that, to root's servers, is out of reach.
fn data_dir() -> (tempfile::TempDir, PathBuf) {
    let only_me = Permissions::from_mode(0o700);
    let temp = tempfile::Builder::new().permissions(only_me).tempdir().expect("a temporary directory");
    let dir = temp.path().join("my data");
    (temp, dir)
}

fn answers(url: &str) -> bool {
    let address = url.rsplit('@').next().and_then(|rest| rest.trim_start_matches("http://").split('/').next());
    std::net::TcpStream::connect(address.expect("a URL with an address")).is_ok()
}

fn sql(database_url: &str, statement: &str) -> String {
    let output = Command::new("psql").args([database_url, "-Atqc", statement]).output().expect("psql runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("psql prints text").trim().to_owned()
}

fn curl(arguments: &[&str]) -> String {
    let output = Command::new("curl").args(["-sS", "--fail-with-body"]).args(arguments).output().expect("curl runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("an answer in text")
}

#[tokio::test]
async fn data_survives_a_stop_and_the_directory_has_room_for_one_process_only() {
    let (_temp, dir) = data_dir();
    let stack = Stack::start(&dir, Durability::Kept).await.expect("a first start");
    sql(stack.database_url(), "CREATE TABLE kept AS SELECT 42 AS answer");
    curl(&["-X", "PUT", &format!("{}/api/vhosts/kept", stack.management_url())]);

    let second = Stack::start(&dir, Durability::Kept).await.expect_err("the directory is in use").to_string();
    assert!(second.starts_with("already running in"), "{second}");
    assert!(second.ends_with(&format!("(pid {})", std::process::id())), "{second}");

    stack.stop().await.expect("an orderly stop");
    assert!(!stack::is_running(&dir));
    let stack = Stack::start(&dir, Durability::Kept).await.expect("a second start");
    assert_eq!(sql(stack.database_url(), "SELECT answer FROM kept"), "42");
    assert!(curl(&[&format!("{}/api/vhosts/kept", stack.management_url())]).contains("\"kept\""));
}

#[tokio::test]
async fn killed_servers_come_back_on_the_same_ports_with_the_same_data() {
    let (_temp, dir) = data_dir();
    let stack = Stack::start(&dir, Durability::Throwaway).await.expect("a start");
    sql(stack.database_url(), "CREATE TABLE kept AS SELECT 42 AS answer");

    stack.kill_database().await.expect("a dead database");
    stack.kill_broker().await.expect("a dead broker");
    assert!(!answers(stack.database_url()) && !answers(stack.amqp_url()));

    stack.start_database().await.expect("a database again");
    stack.start_broker().await.expect("a broker again");
    assert_eq!(sql(stack.database_url(), "SELECT answer FROM kept"), "42");
    assert!(answers(stack.amqp_url()) && answers(stack.management_url()) && answers(stack.s3_endpoint()));
}

#[tokio::test]
async fn a_folder_is_a_bucket_and_only_the_right_key_opens_it() {
    let (_temp, dir) = data_dir();
    let stack = Stack::start(&dir, Durability::Throwaway).await.expect("a start");
    std::fs::create_dir(stack.s3_dir().join("videos")).expect("a bucket");
    let object = format!("{}/videos/a.txt", stack.s3_endpoint());
    let key = format!("{}:{}", stack.s3_access_key(), stack.s3_secret_key());
    let signed = ["--aws-sigv4", "aws:amz:us-east-1:s3", "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD", "--user"];

    let [right, wrong] = [key.as_str(), "somebody:else"].map(|key| [&signed[..], &[key, &object]].concat());

    curl(&[&right[..], &["-X", "PUT", "-d", "hello"]].concat());
    assert_eq!(curl(&right), "hello");
    let refused = Command::new("curl").args(["-sS", "--fail"]).args(wrong).output().expect("curl runs");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("403"), "{refused:?}");
}

#[tokio::test]
async fn a_killed_process_takes_its_servers_along_and_the_next_one_starts() {
    let (_temp, dir) = data_dir();
    let mut holder = hold(&dir);
    wait("the holder's start", || dir.join("held").exists()).await;
    let servers = ["postgres/postgres.pid", "rabbitmq/rabbitmq.pid", "rabbitmq/epmd.pid"].map(|file| pid(&dir, file));
    assert!(servers.iter().all(is_alive), "{servers:?}");

    holder.kill().expect("SIGKILL");
    holder.wait().expect("a dead holder");
    wait("the end of all servers", || !servers.iter().any(is_alive)).await;
    let stack = Stack::start(&dir, Durability::Kept).await.expect("the next start");
    assert!(answers(stack.database_url()) && answers(stack.amqp_url()));
}

/// This test program once more, as the process to be killed.
fn hold(dir: &Path) -> Child {
    let program = std::env::current_exe().expect("this program");
    let mut command = Command::new(program);
    command.args(["--exact", "holder", "--ignored"]).env("STACK_DIR", dir).stdout(Stdio::null());
    command.spawn().expect("a second copy of this program")
}

#[tokio::test]
#[ignore = "not a test: the process that another test kills"]
async fn holder() {
    let Some(dir) = std::env::var_os("STACK_DIR").map(PathBuf::from) else {
        return;
    };
    let _stack = Stack::start(&dir, Durability::Kept).await.expect("a start");
    std::fs::write(dir.join("held"), "").expect("a sign");
    std::future::pending::<()>().await;
}

fn pid(dir: &Path, file: &str) -> String {
    let text = std::fs::read_to_string(dir.join(file)).expect("a pid file");
    text.split(' ').next().expect("a pid").to_owned()
}

fn is_alive(pid: &String) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
}

async fn wait(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
