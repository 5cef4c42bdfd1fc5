//! A manager on another machine: passwords, rights, certificates.

use std::sync::{Arc, Mutex};

use virt_driver::{Ask, Question};
use virt_error::Code;

use super::sim::{Sim, connection, document};

fn sim() -> (Sim, test_support::Scratch) {
    let users = test_support::Scratch::new("ldoms-users");
    let file = users.write("users", "root:secret:write\nwatch:look:read\n");
    let file = file.to_string_lossy().into_owned();
    let sim = Sim::start("3.6", &["--remote-listen", "127.0.0.1:0", "--users-file", &file]);
    (sim, users)
}

fn uri(sim: &Sim, user: &str, password: &str, further: &str) -> String {
    let port = sim.remote.as_deref().and_then(|address| address.rsplit(':').next());
    let file = sim.dir.write(
        &format!("auth-{user}"),
        format!(
            "[credentials-c]\nusername={user}\npassword={password}\n\
             [auth-ldoms-127.0.0.1]\ncredentials=c\n"
        ),
    );
    format!(
        "ldoms://{user}@127.0.0.1:{}/?authfile={}&{further}",
        port.expect("a remote port"),
        file.display()
    )
}

#[test]
fn passwords_are_asked_for_and_rights_are_the_managers() {
    let (sim, _users) = sim();
    let root = sim.manager_at(&uri(&sim, "root", "secret", "no_verify=1")).expect("let in");
    let connection = connection(&root);
    let dom = connection.domain_define_xml(&document("web1", 1, 256)).expect("it is defined");
    let wrong = sim.manager_at(&uri(&sim, "root", "guess", "no_verify=1"));
    assert!(wrong.expect_err("not let in").is(Code::AuthFailed));
    let watch = sim.manager_at(&uri(&sim, "watch", "look", "no_verify=1")).expect("let in");
    let watching = super::sim::connection(&watch);
    assert_eq!(watching.connect_list_all_domains(0).expect("a list").len(), 2);
    let refused = watching.domain_undefine(&dom).expect_err("only to look at");
    assert!(refused.is(Code::OperationDenied), "{refused:?}");
}

#[test]
fn a_certificate_that_nobody_vouches_for_gets_no_password() {
    let (sim, _users) = sim();
    for trust in ["no_verify=0", &format!("fingerprint={}", "00".repeat(32))] {
        let error = sim.manager_at(&uri(&sim, "root", "secret", trust)).expect_err("a stranger");
        assert!(error.is(Code::NoConnect), "{trust}: {error:?}");
    }
}

/// What was asked, and whether the answer could be seen.
type Asked = Arc<Mutex<Vec<(String, bool)>>>;

/// A person who types these answers one after another.
fn person(answers: &[&'static str]) -> (Ask, Asked) {
    let asked = Asked::default();
    let (seen, left) = (Arc::clone(&asked), Mutex::new(answers.to_vec()));
    let ask = Arc::new(move |question: &Question<'_>| {
        seen.lock().unwrap().push((question.prompt.to_owned(), question.echo));
        let mut left = left.lock().unwrap();
        (!left.is_empty()).then(|| left.remove(0).to_owned())
    });
    (ask, asked)
}

#[test]
fn what_no_file_tells_the_person_is_asked_once() {
    let (sim, _users) = sim();
    let empty = sim.dir.write("auth-empty", "");
    let port = sim.remote.as_deref().and_then(|address| address.rsplit(':').next()).unwrap();
    let more = format!("authfile={}&no_verify=1&timeout=20", empty.display());
    let open = |ask: Ask, user: &str| {
        let uri = format!("ldoms://{user}127.0.0.1:{port}/?{more}");
        virt_driver::Registry::new().with(crate::opener(Some(ask))).open(Some(&uri), false)
    };
    let (ask, asked) = person(&["root", "secret"]);
    let connection = open(ask, "").expect("let in");
    let name = ("Enter username for 127.0.0.1".to_owned(), true);
    let password = ("Enter root's password for 127.0.0.1".to_owned(), false);
    assert_eq!(*asked.lock().unwrap(), [name, password.clone()]);
    // More connections to the manager are made, for its events and beside a slow change.
    connection.domain_define_xml(&document("web1", 1, 256)).expect("it is defined");
    sim.set("start-delay = 1500");
    let dom = connection.domain_lookup_by_name("web1").expect("it is there");
    std::thread::scope(|scope| {
        let starting = scope.spawn(|| connection.domain_create_with_flags(&dom, 0));
        std::thread::sleep(std::time::Duration::from_millis(300));
        let primary = connection.domain_lookup_by_name("primary").expect("it is there");
        connection.domain_get_xml_desc(&primary, 0).expect("its document");
        starting.join().expect("no panic").expect("it starts");
    });
    assert_eq!(asked.lock().unwrap().len(), 2);
    let (ask, asked) = person(&["guess"]);
    let refused = open(ask, "root@").expect_err("not let in");
    assert!(refused.is(Code::AuthFailed), "{refused:?}");
    assert_eq!(*asked.lock().unwrap(), [password]);
    let (ask, _) = person(&[]);
    let refused = open(ask, "root@").expect_err("nobody answers");
    assert!(refused.is(Code::AuthFailed), "{refused:?}");
}
