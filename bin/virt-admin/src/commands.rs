//! What each command does.

use virt_cli::{Args, Done, During as _, Failure, Session, fail};
use virt_error::Result as Answer;
use virt_types::{TypedParam, TypedValue};

use crate::admin::{Admin, Numbers};
use crate::globals::VERSION;
use crate::shell::Shell;

/// `VIR_DAEMON_SHUTDOWN_PRESERVE`.
const SHUTDOWN_PRESERVE: u32 = 1;

macro_rules! say {
    ($shell:expr, $($text:tt)*) => { $shell.session().print(format_args!($($text)*)) };
}

/// Asks the daemon; one that hangs up meanwhile is told of.
fn ask<T>(shell: &mut Shell, call: impl FnOnce(&Admin) -> Answer<T>) -> Result<T, Failure> {
    let answer = call(shell.reach()?);
    if answer.is_err() {
        shell.tell_if_lost();
    }
    Ok(answer?)
}

pub(crate) fn cmd_uri(shell: &mut Shell, _: &Args) -> Done {
    let uri = shell.reach()?.uri().to_owned();
    say!(shell, "{uri}\n");
    Ok(())
}

pub(crate) fn cmd_version(shell: &mut Shell, _: &Args) -> Done {
    let number = ask(shell, Admin::lib_version).during(|| "failed to get the daemon version")?;
    let (major, minor, release) = (number / 1_000_000, number / 1000 % 1000, number % 1000);
    say!(shell, "Compiled against library: libvirt {VERSION}\n");
    say!(shell, "Using library: libvirt {VERSION}\n");
    say!(shell, "Running against daemon: {major}.{minor}.{release}\n");
    Ok(())
}

pub(crate) fn cmd_connect(shell: &mut Shell, args: &Args) -> Done {
    let again = shell.reconnect(args.text("name")?)?;
    let word = if again { "Reconnected" } else { "Connected" };
    shell.session().print_extra(format_args!("{word} to the admin server\n"));
    Ok(())
}

pub(crate) fn cmd_server_list(shell: &mut Shell, _: &Args) -> Done {
    let servers = ask(shell, Admin::servers).during(|| "failed to obtain list of servers")?;
    let session = shell.session();
    let mut grid = session.grid(&["Id", "Name"]);
    for (at, server) in servers.iter().enumerate() {
        grid.row([at.to_string().as_str(), server.name.as_str()]);
    }
    session.print_grid(&grid);
    Ok(())
}

pub(crate) fn cmd_server_threadpool_info(shell: &mut Shell, args: &Args) -> Done {
    let name = args.needed("server")?;
    let server = ask(shell, |admin| admin.server(name))?;
    let params = ask(shell, |admin| admin.threads(server))
        .during(|| "Unable to get server workerpool parameters")?;
    print_params(shell.session(), &params, 15);
    Ok(())
}

pub(crate) fn cmd_server_threadpool_set(shell: &mut Shell, args: &Args) -> Done {
    const OPTIONS: [(&str, &str); 3] = [
        ("min-workers", "minWorkers"),
        ("max-workers", "maxWorkers"),
        ("priority-workers", "prioWorkers"),
    ];
    let numbers = numbers(args, &OPTIONS)?;
    in_order(&numbers, ("minWorkers", "min-workers"), ("maxWorkers", "max-workers"))?;
    let name = args.needed("server")?;
    let server = ask(shell, |admin| admin.server(name))?;
    ask(shell, |admin| admin.set_threads(server, &numbers))
        .during(|| "Unable to change server workerpool parameters")
}

pub(crate) fn cmd_client_list(shell: &mut Shell, args: &Args) -> Done {
    let name = args.needed("server")?;
    let server = ask(shell, |admin| admin.server(name))?;
    let clients = ask(shell, |admin| admin.clients(server))
        .during(|| "failed to obtain list of connected clients")?;
    let session = shell.session();
    let mut grid = session.grid(&["Id", "Transport", "Connected since"]);
    for client in &clients {
        let since = moment(client.timestamp);
        grid.row([client.id.to_string(), transport(client.transport).to_owned(), since]);
    }
    session.print_grid(&grid);
    Ok(())
}

pub(crate) fn cmd_client_info(shell: &mut Shell, args: &Args) -> Done {
    let name = args.needed("server")?;
    let id = args.number("client")?.unwrap_or_default();
    let server = ask(shell, |admin| admin.server(name))?;
    let client = ask(shell, |admin| admin.client(server, id))?;
    let (since, way) = (moment(client.timestamp), transport(client.transport));
    let params = ask(shell, |admin| admin.client_info(client))
        .during(|| format!("failed to retrieve client identity information for client '{id}'"))?;
    say!(shell, "{:<15}: {id}\n{:<15}: {since}\n", "id", "connection_time");
    say!(shell, "{:<15}: {way}\n", "transport");
    print_params(shell.session(), &params, 15);
    Ok(())
}

pub(crate) fn cmd_client_disconnect(shell: &mut Shell, args: &Args) -> Done {
    let name = args.needed("server")?;
    let id = args.number("client")?.unwrap_or_default();
    let server = ask(shell, |admin| admin.server(name))?;
    let client = ask(shell, |admin| admin.client(server, id))?;
    ask(shell, |admin| admin.disconnect(client))
        .during(|| format!("Failed to disconnect client '{id}' from server {name}"))?;
    say!(shell, "Client '{id}' disconnected");
    Ok(())
}

pub(crate) fn cmd_server_clients_info(shell: &mut Shell, args: &Args) -> Done {
    let name = args.needed("server")?;
    let server = ask(shell, |admin| admin.server(name))?;
    let params = ask(shell, |admin| admin.client_limits(server))
        .during(|| "Unable to retrieve client limits from server")?;
    print_params(shell.session(), &params, 20);
    Ok(())
}

pub(crate) fn cmd_server_clients_set(shell: &mut Shell, args: &Args) -> Done {
    const OPTIONS: [(&str, &str); 2] =
        [("max-clients", "nclients_max"), ("max-unauth-clients", "nclients_unauth_max")];
    let numbers = numbers(args, &OPTIONS)?;
    let (least, most) = (("nclients_unauth_max", "max-unauth-clients"), "max-clients");
    in_order(&numbers, least, ("nclients_max", most))?;
    let name = args.needed("server")?;
    let server = ask(shell, |admin| admin.server(name))?;
    ask(shell, |admin| admin.set_client_limits(server, &numbers))
        .during(|| "Unable to change server's client-related configuration limits")
}

pub(crate) fn cmd_server_update_tls(shell: &mut Shell, args: &Args) -> Done {
    let name = args.needed("server")?;
    let server = ask(shell, |admin| admin.server(name))?;
    ask(shell, |admin| admin.update_tls(server))
        .during(|| "Unable to update server's tls related files.")?;
    say!(shell, "update tls related files succeed\n");
    Ok(())
}

pub(crate) fn cmd_daemon_log_filters(shell: &mut Shell, args: &Args) -> Done {
    match args.text("filters")? {
        Some(filters) => ask(shell, |admin| admin.set_filters(filters))
            .during(|| "Unable to change daemon logging settings"),
        None => {
            let filters = ask(shell, Admin::filters)
                .during(|| "Unable to get daemon logging filters information")?;
            say!(shell, " {:<15}{filters}\n", "Logging filters: ");
            Ok(())
        }
    }
}

pub(crate) fn cmd_daemon_log_outputs(shell: &mut Shell, args: &Args) -> Done {
    match args.text("outputs")? {
        Some(outputs) => ask(shell, |admin| admin.set_outputs(outputs))
            .during(|| "Unable to change daemon logging settings"),
        None => {
            let outputs = ask(shell, Admin::outputs)
                .during(|| "Unable to get daemon logging outputs information")?;
            say!(shell, " {:<15}{outputs}\n", "Logging outputs: ");
            Ok(())
        }
    }
}

pub(crate) fn cmd_daemon_timeout(shell: &mut Shell, args: &Args) -> Done {
    let seconds = args.number("timeout")?.unwrap_or_default();
    ask(shell, |admin| admin.set_timeout(seconds))
}

pub(crate) fn cmd_daemon_shutdown(shell: &mut Shell, args: &Args) -> Done {
    let flags = if args.flag("preserve") { SHUTDOWN_PRESERVE } else { 0 };
    ask(shell, |admin| admin.shutdown(flags))
}

/// What the given options set. At least one is needed.
fn numbers(
    args: &Args,
    known: &[(&'static str, &'static str)],
) -> Result<Numbers<'static>, Failure> {
    let mut numbers = Numbers::new();
    for (option, field) in known {
        let number = args.number(option).map_err(|problem| {
            Failure::from(problem).then(format!("Unable to parse integer parameter '{option}'"))
        })?;
        numbers.extend(number.map(|number| (*field, number)));
    }
    if numbers.is_empty() {
        let names: Vec<String> = known.iter().map(|(option, _)| format!("--{option}")).collect();
        return fail(format!("At least one of options {} is mandatory", names.join(", ")));
    }
    Ok(numbers)
}

/// Refuses two numbers, by field and option, of which the first is the larger one.
fn in_order(numbers: &Numbers<'_>, least: (&str, &str), most: (&str, &str)) -> Done {
    let of = |field: &str| numbers.iter().find(|(known, _)| *known == field).map(|(_, n)| *n);
    match (of(least.0), of(most.0)) {
        (Some(first), Some(second)) if first > second => {
            fail(format!("--{} must be less than or equal to --{}", least.1, most.1))
        }
        _ => Ok(()),
    }
}

fn print_params(session: &mut Session, params: &[TypedParam], width: usize) {
    for param in params {
        let value = match &param.value {
            TypedValue::Int(number) => number.to_string(),
            TypedValue::Uint(number) => number.to_string(),
            TypedValue::Llong(number) => number.to_string(),
            TypedValue::Ullong(number) => number.to_string(),
            TypedValue::Double(number) => format!("{number:.6}"),
            TypedValue::Boolean(true) => "yes".to_owned(),
            TypedValue::Boolean(false) => "no".to_owned(),
            TypedValue::String(text) => text.clone(),
        };
        session.print(format_args!("{:<width$}: {value}\n", param.field));
    }
}

fn transport(number: u32) -> &'static str {
    match number {
        0 => "unix",
        1 => "tcp",
        2 => "tls",
        _ => "unknown",
    }
}

/// A moment in the zone of the person at the shell.
fn moment(seconds: i64) -> String {
    let moment = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    let zoned = moment.to_zoned(jiff::tz::TimeZone::system());
    zoned.strftime("%Y-%m-%d %H:%M:%S%z").to_string()
}
