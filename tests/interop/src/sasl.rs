//! One user with a password, for both daemons and for who comes.

use std::process::Command;
use std::time::Duration;

use test_support::{Scratch, debian_program, our_program, run_with_input};

const LIMIT: Duration = Duration::from_secs(30);

/// The user's line in our daemon's file: `fred`, with the password `secret`.
pub fn password_line() -> String {
    let mut command = Command::new(our_program("virtd"));
    run_with_input(command.args(["--sasl-password", "fred"]), "secret\n", LIMIT).ok()
}

/// The folder that tells libvirt's daemon of the same user.
pub fn reference_users() -> Result<Scratch, String> {
    let program = debian_program("saslpasswd2")?;
    let sasl = Scratch::new("sasl");
    let database = sasl.join("db");
    sasl.write(
        "libvirt.conf",
        format!(
            "mech_list: scram-sha-256 plain\nsasldb_path: {}\npwcheck_method: auxprop\n\
             auxprop_plugin: sasldb\n",
            database.display()
        ),
    );
    let mut command = Command::new(program);
    command.arg("-f").arg(&database).args(["-c", "-p", "-a", "libvirt", "fred"]);
    run_with_input(&mut command, "secret", LIMIT);
    sasl.set_mode(0o755);
    std::os::unix::fs::chown(&database, Some(65534), Some(65534))
        .map_err(|error| error.to_string())?;
    Ok(sasl)
}

/// A file of credentials for a client.
pub fn credentials(home: &Scratch, file: &str, password: &str) -> String {
    let text = format!(
        "[credentials-x]\nauthname=fred\npassword={password}\n\
         [auth-libvirt-default]\ncredentials=x\n"
    );
    home.write(file, &text);
    home.join(file).display().to_string()
}
