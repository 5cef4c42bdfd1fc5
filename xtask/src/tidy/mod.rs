//! `tidy`: the rules that no compiler checks.

mod edges;
mod files;
mod licences;
mod lock;

use crate::{switches, workspace};

pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let [] = switches(args, [])?;
    let packages = workspace::packages()?;
    let files = workspace::files()?;
    let mut problems = edges::check(&packages);
    problems.extend(files::check(&files));
    problems.extend(licences::check(&packages));
    problems.extend(lock::check(&workspace::root()));
    for duplicate in licences::duplicates(&packages) {
        println!("more than one version: {duplicate}");
    }
    if problems.is_empty() {
        println!("tidy: {} packages, {} files", packages.len(), files.len());
        return Ok(());
    }
    problems.sort();
    Err(format!("{} to mend\n  {}", problems.len(), problems.join("\n  ")))
}
