//! The console concentrator, as a telnet client sees it.

mod client;

use std::net::TcpStream;

use client::{Client, Sim, command, content, properties, units};

/// The first bytes, as the concentrator of the real system sends them.
const GREETING: &str = "fffe22fffb03fffb01fffe18fffe20fffe05fffe21fffe06fffe24fffe1f";

struct Terminal {
    client: Client,
    greeting: String,
}

fn terminal(client: &mut Client, domain: &str) -> Terminal {
    let port = client.value("list-bindings", domain, "console.port").expect("a port");
    let socket = TcpStream::connect(format!("127.0.0.1:{port}")).expect("it listens");
    socket.set_read_timeout(Some(std::time::Duration::from_secs(10))).expect("a socket");
    let mut terminal = Client::plain(socket);
    let greeting = terminal.take_bytes(30).iter().map(|byte| format!("{byte:02x}")).collect();
    Terminal { client: terminal, greeting }
}

fn bound(sim: &Sim, names: &[&str], group: Option<&str>) -> Client {
    let mut client = sim.client();
    for name in names {
        client.add(name);
        if let Some(group) = group {
            client.must("set-vconsole", name, &[properties("console", &[("group", group)])]);
        }
        client.must("bind-domain", name, &[]);
    }
    client
}

fn connecting(domain: &str, group: &str) -> String {
    format!(
        "\r\nConnecting to console \"{domain}\" in group \"{group}\" ....\r\n\
         Press ~? for control options ..\r\n"
    )
}

#[test]
fn a_single_console_is_connected_to_at_once() {
    let sim = Sim::start("");
    let mut client = bound(&sim, &["web1"], None);
    let mut first = terminal(&mut client, "web1");
    assert_eq!(first.greeting, GREETING);
    let expected = connecting("web1", "web1");
    assert_eq!(first.client.take(expected.len()), expected);
    // The concentrator answers every request with its will.
    first.client.send_bytes(&[255, 253, 1, 255, 254, 34]);
    assert_eq!(first.client.take_bytes(6), [255, 251, 1, 255, 251, 34]);
    client.must("start-domain", "web1", &[]);
    first.client.until("web1 console login: ");
    first.client.send("uname\r");
    first.client.until("uname\r\nSunOS\r\nweb1 console login: ");
    first.client.send_bytes(&[255, 243]);
    first.client.until("{0} ok ");
    first.client.send("go\r");
    first.client.until("web1 console login: ");

    // The second one reads only, until it takes over.
    let mut second = terminal(&mut client, "web1");
    second.client.until("options ..\r\n");
    second.client.send("x");
    second.client.until("You do not have write access\r\n");
    second.client.send("\r~wy\r");
    second.client.until("web1 console login: ");
    first.client.send("x");
    first.client.until("You do not have write access\r\n");
    second.client.send("~.");
    assert!(!second.client.rest().contains("ok"));
}

#[test]
fn several_consoles_of_a_group_are_chosen_from() {
    let sim = Sim::start("--hostname ctl-a");
    let mut client = bound(&sim, &["web1", "web2"], Some("webgrp"));
    let ports = ["web1", "web2"].map(|name| client.value("list-bindings", name, "console.port"));
    assert_eq!(ports[0], ports[1]);
    let prompt = "\r\nctl-a-vnts-webgrp: h, l, c{id}, n{name}, q:";
    let mut other = terminal(&mut client, "web2");
    other.client.until(prompt);
    other.client.send("nweb2\r");
    other.client.until("options ..\r\n");
    let mut chooser = terminal(&mut client, "web1");
    assert_eq!(chooser.client.take(prompt.len()), prompt);
    chooser.client.send("l");
    let table = "l\r\nDOMAIN ID           DOMAIN NAME                   DOMAIN STATE             \r\n\
                 0                   web1                          online                   \r\n\
                 1                   web2                          connected                \r\n";
    assert_eq!(chooser.client.take(table.len()), table);
    assert_eq!(chooser.client.take(prompt.len()), prompt);
    chooser.client.send("c0\r");
    let expected = format!("c0\r{}", connecting("web1", "webgrp"));
    assert_eq!(chooser.client.take(expected.len()), expected);
    chooser.client.send("~n");
    let expected = connecting("web2", "webgrp");
    assert_eq!(chooser.client.take(expected.len()), expected);
    chooser.client.send("\r~.");
    chooser.client.until(prompt);
    chooser.client.send("q");
    assert_eq!(chooser.client.rest(), "q\r\n");
}

#[test]
fn what_guests_do_by_themselves_is_told() {
    let sim = Sim::start("");
    let mut client = bound(&sim, &["web1"], None);
    let mut listener = sim.client();
    listener.ask(&command("reg-domain-events", ""));
    client.must("start-domain", "web1", &[]);
    let mut terminal = terminal(&mut client, "web1");
    terminal.client.until("options ..\r\n");
    let expect = |listener: &mut Client, actions: &[&str]| {
        for action in actions {
            assert_eq!(listener.event(), ((*action).to_owned(), "web1".to_owned()));
        }
    };
    expect(&mut listener, &["start-domain"]);
    terminal.client.send("reboot\r");
    expect(&mut listener, &["domain-reset"]);
    terminal.client.until("console login: ");
    terminal.client.send("panic\r");
    expect(&mut listener, &["panic-domain", "domain-reset"]);
    terminal.client.send("poweroff\r");
    expect(&mut listener, &["stop-domain"]);
    assert_eq!(client.state("web1"), "bound");
    // With the console goes its port.
    client.must("unbind-domain", "web1", &[]);
    terminal.client.rest();
}

#[test]
fn ports_come_from_the_range_and_go_back() {
    // Two ports that are free, and that the system chooses for nobody.
    let start = 20_000 + u16::try_from(std::process::id() % 4_000).unwrap() * 2;
    let is_free = |port: u16| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
    let mut pairs = (start..start + 200).step_by(2);
    let first = pairs.find(|port| is_free(*port) && is_free(port + 1)).expect("free ports");
    let sim = Sim::start(&format!("--console-ports {first}-{}", first + 1));
    let mut client = bound(&sim, &["a", "b"], None);
    let port = |client: &mut Client, name| client.value("list-bindings", name, "console.port");
    assert_eq!(port(&mut client, "a"), Some(first.to_string()));
    assert_eq!(port(&mut client, "b"), Some((first + 1).to_string()));
    client.must("add-domain", "c", &[units("cpu", "1"), units("memory", "1G")]);
    client.refused("bind-domain", "c", &[], "no free console port");
    client.must("unbind-domain", "a", &[]);
    client.must("bind-domain", "c", &[]);
    assert_eq!(port(&mut client, "c"), Some(first.to_string()));
    let taken = (first + 1).to_string();
    let console = [properties("console", &[("port", &taken)])];
    client.must("set-vconsole", "a", &console);
    client.refused("bind-domain", "a", &[], "already in use");
    let answer = client.ask(&command("list-constraints", &content("primary", &[])));
    assert_eq!(answer.value("vcc.min_port"), Some(first.to_string()));
}
