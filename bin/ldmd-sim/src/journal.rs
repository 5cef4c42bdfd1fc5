//! The request log: what clients ask, a line each command, to see how often a program asks.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use crate::message::Request;

/// What stands for a document that is none.
const MALFORMED: &str = "malformed";

/// The file, open for as long as the manager runs.
pub(crate) struct Journal(File);

impl Journal {
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        let file = File::options().append(true).create(true).open(path);
        file.map(Self).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Notes a document before it is answered.
    pub(crate) fn note(&self, request: Option<&Request>) {
        // A full disk loses lines, not answers.
        let _ = (&self.0).write_all(lines(request).as_bytes());
    }
}

/// The action of each command and the domains it names; what clients made up cannot look like more
/// lines than there are.
fn lines(request: Option<&Request>) -> String {
    let Some(request) = request else { return format!("{MALFORMED}\n") };
    let mut text = String::new();
    for command in &request.commands {
        let action = command.action.as_deref().unwrap_or(MALFORMED);
        text.extend(action.escape_default());
        let objects = command.data.iter().filter_map(|data| data.objects.as_ref().ok()).flatten();
        for name in objects.filter_map(|object| object.domain.as_deref()) {
            text.push(' ');
            text.extend(name.escape_default());
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_is_a_line_whatever_is_in_it() {
        let data = "<data version='3.0'><Envelope><Content id='web1'/><Content id='a&#10;b'/>\
                    </Envelope></data>";
        let request = Request::parse(&format!(
            "<LDM_interface><cmd><action>start-domain</action>{data}</cmd><cmd>\
             <action>list-domain</action></cmd><cmd/></LDM_interface>"
        ));
        let wanted = "start-domain web1 a\\nb\nlist-domain\nmalformed\n";
        assert_eq!(lines(request.as_ref()), wanted);
        assert_eq!(lines(None), "malformed\n");
    }
}
