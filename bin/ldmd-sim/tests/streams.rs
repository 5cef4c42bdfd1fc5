//! Connections: the handshake to the byte, log-in from afar, releases, and what is refused.

mod client;

use client::{Client, HEADER, STARTTLS, Sim, command, content, document};

#[test]
fn the_local_handshake_is_that_of_the_sample_byte_by_byte() {
    let sample =
        test_support::or_skip!(test_support::shared("ldoms/documented/xmpp-local-handshake.txt"));
    let sample = std::fs::read_to_string(sample).unwrap();
    let sim = Sim::start("--profile 1.2");
    let mut client = Client::plain(sim.socket("listen"));
    let mut seen = 0;
    for line in sample.lines() {
        match line.split_at(line.len().min(2)) {
            ("C ", text) => client.send(text),
            ("S ", text) => {
                assert_eq!(client.take(text.len()), text);
                seen += 1;
            }
            ("- ", _) => assert!(client.encrypt(rustls::ALL_VERSIONS)),
            _ => {}
        }
    }
    assert_eq!(seen, 6);
}

#[test]
fn from_afar_a_name_and_a_password_are_needed_and_decide_what_may_be_done() {
    let sim = Sim::start("--remote-listen 127.0.0.1:0");
    sim.scratch.write("users", "root:s3cret:write\nguest:guest:read\n");
    let mut client = Client::plain(sim.socket("remote-listen"));
    client.secure();
    assert!(client.until("</stream:features>").contains("<mechanism>PLAIN</mechanism>"));
    client.send(
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AHJvb3QAeA==</auth>",
    );
    client.until("<not-authorized/></failure>");
    client.send("<auth mechanism='DIGEST-MD5'/>");
    client.until("<invalid-mechanism/></failure>");
    // root, s3cret
    client.send("<auth mechanism='PLAIN'>AHJvb3QAczNjcmV0</auth>");
    client.until("<success");
    client.send(HEADER);
    client.until("<stream:features/>");
    client.add("web1");

    let mut client = Client::plain(sim.socket("remote-listen"));
    client.secure();
    client.until("</stream:features>");
    // guest, guest
    client.send("<auth mechanism='PLAIN'>AGd1ZXN0AGd1ZXN0</auth>");
    client.until("<success");
    client.send(HEADER);
    client.until("<stream:features/>");
    assert_eq!(client.state("web1"), "inactive");
    client.refused("bind-domain", "web1", &[], "solaris.ldoms.write");
}

#[test]
fn without_log_in_or_encryption_no_document_is_taken() {
    let sim = Sim::start("--remote-listen 127.0.0.1:0");
    let list = command("list-domain", "");
    let mut client = Client::plain(sim.socket("remote-listen"));
    client.secure();
    client.until("</stream:features>");
    client.send(&list);
    assert!(client.rest().contains("<not-authorized"));

    let mut client = Client::plain(sim.socket("listen"));
    client.send(HEADER);
    client.until("</stream:features>");
    client.send(&list);
    assert!(client.rest().contains("<policy-violation"));

    // A client of a manager 1.0 finds out that this is none.
    let mut client = Client::plain(sim.socket("listen"));
    client.send(&list);
    assert!(client.rest().contains("<stream:error><bad-format"));
}

#[test]
fn a_read_only_local_client_may_look_but_not_change() {
    let sim = Sim::start("--local-rights read");
    let mut client = sim.client();
    assert_eq!(client.state("primary"), "active");
    client.refused("add-domain", "web1", &[], "solaris.ldoms.write");
}

#[test]
fn encryption_can_be_left_out_and_late_releases_have_tls_1_2_only() {
    let sim = Sim::start("--tls off");
    let mut client = Client::plain(sim.socket("listen"));
    client.send(HEADER);
    client.until("<stream:features/>");
    assert_eq!(client.state("primary"), "active");

    for (profile, speaks) in [("3.3", true), ("3.4", false)] {
        let sim = Sim::start(&format!("--profile {profile}"));
        let mut client = Client::plain(sim.socket("listen"));
        client.send(HEADER);
        client.until("</stream:features>");
        client.send(STARTTLS);
        client.until("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
        assert_eq!(client.encrypt(&[&rustls::version::TLS13]), speaks, "{profile}");
    }
}

#[test]
fn a_manager_1_0_takes_documents_one_after_another_and_no_stream() {
    let sim = Sim::start("--profile 1.0");
    let mut client = sim.legacy();
    let list = "<LDM_interface version=\"1.0\"><cmd><action>list-domain</action>\
                <data version=\"2.0\"/></cmd></LDM_interface>";
    for _ in 0..2 {
        let answer = client.ask(list);
        assert!(answer.is_success());
        let tree = answer.tree();
        let name = client::find(&tree, "ldom_name").unwrap();
        assert_eq!(name.text(), "primary");
        assert!(!answer.0.contains("uuid"));
    }
    let data = "<action>list-domain</action><data version=\"3.0\"/>";
    assert!(!client.ask(&document("1.0", data)).is_success());
    // Events came with 1.1.
    assert!(!client.ask(&command("reg-all-events", "")).is_success());

    let mut client = sim.legacy();
    client.send(HEADER);
    assert!(client.rest().contains("Malformed XML message"));
}

#[test]
fn what_is_no_document_is_answered_at_the_outer_level_and_the_stream_lives_on() {
    let sim = Sim::start("");
    let mut client = sim.client();
    for text in ["<nonsense/>", "<LDM_interface><cmd></LDM_interface>", "<LDM_interface/>", "x<"] {
        let answer = client.ask(text);
        assert_eq!(answer.messages(), ["Malformed XML message"], "{text}");
        assert_eq!(answer.tree().elements().count(), 1);
    }
    client.send("<presence/> \n<iq type='get'/>");
    assert_eq!(client.state("primary"), "active");
    client.send("</stream:stream>");
    assert_eq!(client.rest(), "</stream:stream>");
}

#[test]
fn commands_that_are_wrong_fail_at_their_own_level() {
    let sim = Sim::start("--profile 2.0");
    let mut client = sim.client();
    for action in ["rm-domain", "set-mem", "ls", "frobnicate", "add-vhba"] {
        let answer = client.act(action, "primary", &[]);
        let tree = answer.tree();
        let responses: Vec<_> = tree.elements().filter(|child| child.name == "response").collect();
        assert!(responses[0].child("resp_msg").is_none(), "{action}");
        let command = tree.child("cmd").unwrap();
        assert!(command.child("response").unwrap().child("resp_msg").is_some(), "{action}");
    }
    let two = format!(
        "<LDM_interface version=\"1.0\"><cmd><action>add-domain</action><data version=\"3.0\">{}\
         </data><data version=\"3.0\">{}</data></cmd><cmd><action>bind-domain</action>\
         <data version=\"3.0\"/></cmd></LDM_interface>",
        content("bad name", &[]),
        content("good", &[])
    );
    let answer = client.ask(&two);
    assert!(!answer.is_success());
    assert_eq!(client.state("good"), "inactive");
    let data: Vec<bool> = answer
        .tree()
        .child("cmd")
        .unwrap()
        .children_named("data")
        .map(|data| data.child("response").unwrap().child_text("status").unwrap() == "success")
        .collect();
    assert_eq!(data, [false, true]);
}

#[test]
fn options_stand_where_the_release_has_them() {
    let body = |name: &str| {
        format!(
            "<action>stop-domain</action><{name}>-f</{name}><data version=\"3.0\">{}</data>",
            content("web1", &[])
        )
    };
    for (profile, version, name, taken) in [
        ("1.3", "1.0", "option", true),
        ("1.3", "1.0", "options", false),
        ("3.2", "1.3", "options", true),
        ("3.2", "1.3", "option", false),
        ("3.2", "1.0", "option", true),
    ] {
        let sim = Sim::start(&format!("--profile {profile}"));
        let mut client = sim.client();
        client.add("web1");
        client.must("bind-domain", "web1", &[]);
        client.must("start-domain", "web1", &[]);
        let answer = client.ask(&document(version, &body(name)));
        assert_eq!(answer.is_success(), taken, "{profile} {version} {name}");
        assert_eq!(client.state("web1"), if taken { "bound" } else { "active" });
    }
}
