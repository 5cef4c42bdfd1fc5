//! A manager on another machine: passwords, rights, certificates.

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
