//! docs/configuration.md: every flag, and every field of kube-proxy's configuration.

use std::fmt::Write as _;

use clap::{Arg, CommandFactory as _};
use lb_userspace::{
    cli::Cli,
    config::kube_proxy::{FIELDS, Fate},
};

const FLAGS: &str = "\
# Configuration

*Made from the code; `BLESS=1 cargo test -p lb-userspace --test pages` writes it anew.*

Flags of `sluice agent` win over the file of `--config`, that wins over the environment, and that over defaults. `sluice check` takes the
same flags and says what is wrong with them, all at once; `-v` logs what was settled on.

Names of kube-proxy's flags are kept where the meaning is the same.

| flag | default | meaning |
| --- | --- | --- |
";

const DIRECT: &str = "
## `--direct-delivery`: what goes past the node's own checks

What a pod sends goes straight out if it belongs to a flow that a client outside has opened to it through a Service: protocol, both addresses
and both ports are that flow's. All else that pods send goes by the node's stack, as without the flag. By which device a packet came is not
looked at: a pod that may forge source addresses (CAP_NET_RAW) and knows an open flow of another pod on its node, ports and all, can put
packets into it, or end it, and the client takes them for the Service's unless its protocol knows better, as TCP does by its sequence
numbers; it can reach nobody but that flow's client, and in no other name. What sees neither these answers nor the packets that are handed to
pods: `rp_filter`, netfilter's rules (but for its egress hook) and connection tracking on the node, and at pods' devices tc filters of the
older kind (before Linux 6.6: those behind preference 20943). So leave it off where network policies, a host firewall or bandwidth limits rest
on any of these, and where pods on one node must not be able to speak for each other; on a bridge that they share, `rp_filter` does not keep
them from it either.
";

const FILE: &str = "
## `--config`: what becomes of kube-proxy's configuration

`--config FILE` reads the `KubeProxyConfiguration` that a cluster keeps in the ConfigMap `kube-proxy` (key `config.conf`), as it stands.
Each field that is set to something and has no effect is named once in the log when the agent starts, with the reason below; so are
fields that are not known. A field of the wrong type ends the start, with its name.

| field | kube-proxy's default | here |
| --- | --- | --- |
";

#[test]
fn the_page_has_every_flag_and_every_field() {
    let mut page = FLAGS.to_owned();
    let cli = Cli::command();
    let agent = cli.get_subcommands().find(|verb| verb.get_name() == "agent").unwrap();
    for argument in agent.get_arguments() {
        writeln!(page, "{}", flag(argument)).unwrap();
    }
    page += DIRECT;
    page += FILE;
    for field in FIELDS {
        let fate = match field.fate {
            Fate::Honoured(effect) => effect.to_owned(),
            Fate::Ignored(reason) => format!("ignored: {reason}"),
        };
        let default = if field.default.is_empty() { "" } else { &format!("`{}`", field.default) };
        writeln!(page, "| `{}` | {default} | {fate} |", field.path).unwrap();
    }
    super::made("configuration.md", &page);
}

fn flag(argument: &Arg) -> String {
    let names = argument.get_short().map(|short| format!("`-{short}`, "));
    let long = argument.get_long().unwrap();
    let value = match argument.get_value_names() {
        Some([name, ..]) if argument.get_action().takes_values() => format!(" {name}"),
        _ => String::new(),
    };
    let also = argument.get_visible_aliases().unwrap_or_default();
    let also: String = also.iter().map(|alias| format!(", `--{alias}`")).collect();
    let help = argument.get_help().unwrap().to_string().replace('|', "\\|");
    // Where the command line works a default out by itself, its help says so in words.
    let (help, said) = match help.strip_suffix(']').and_then(|help| help.split_once(" [default: "))
    {
        Some((help, default)) => (help.to_owned(), default.to_owned()),
        None => (help, String::new()),
    };
    let fixed = argument.get_default_values().iter().map(|value| value.to_str().unwrap());
    let fixed = fixed.filter(|_| argument.get_action().takes_values()).collect::<Vec<_>>();
    let default = if fixed.is_empty() { said } else { format!("`{}`", fixed.join(",")) };
    let default = match argument.get_env().and_then(|variable| variable.to_str()) {
        Some(variable) => format!("`${variable}`, else {default}"),
        None => default,
    };
    format!("| {}`--{long}{value}`{also} | {default} | {help} |", names.unwrap_or_default())
}
