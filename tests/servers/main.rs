//! Real servers that nobody here wrote, sealed by the real command, booted under each firmware and asked over their
//! own protocol. `tests/corpus.toml` pins them, `scripts/fetch-servers` gets them, `scripts/boots` prints what came
//! out as a table.

#[path = "../common/corpus.rs"]
mod common;
mod corpus;
mod machine;
mod probe;

use ampoule::cli::machine::Firmware;
use corpus::Server;
use machine::Sealed;

/// Seals the server `name` once, boots it each way that its row asks for, and asks it each of its probes.
fn boots_and_answers(name: &str) {
    let server = Server::named(name);
    let sealed = Sealed::from(&server);
    for firmware in Firmware::ALL
        .into_iter()
        .filter(|firmware| server.boots_by(firmware.name()))
    {
        let digest = sealed.digest();
        let mut machine = sealed.boot(&server, firmware);
        machine.wait_until_ready();
        for probe in &server.probes {
            machine.ask(probe);
        }
        let end = machine.stop();
        assert_eq!(
            sealed.digest(),
            digest,
            "{name} under {}: the image changed",
            firmware.name()
        );
        sealed.record(firmware, &server, &end);
    }
}

#[test]
fn caddy_answers() {
    boots_and_answers("caddy");
}

#[test]
fn nats_server_answers() {
    boots_and_answers("nats-server");
}

#[test]
fn temporal_answers() {
    boots_and_answers("temporal");
}

#[test]
fn aria2_next_answers() {
    boots_and_answers("aria2-next");
}

#[test]
fn esbuild_answers() {
    boots_and_answers("esbuild");
}

#[test]
fn restate_server_answers() {
    boots_and_answers("restate-server");
}

#[test]
fn busybox_httpd_answers() {
    boots_and_answers("busybox");
}

/// Boots the server and asks it, and sees that it was refused no call.
fn answers_unrefused(server: &Server, sealed: &Sealed) {
    let mut machine = sealed.boot(server, Firmware::Direct);
    machine.wait_until_ready();
    for probe in &server.probes {
        machine.ask(probe);
    }
    let denied = machine.denied();
    assert!(denied.is_empty(), "{}: {denied:?}", server.name);
    machine.stop();
}

#[test]
fn servers_answer_with_the_calls_that_their_code_holds() {
    for name in ["nats-server", "aria2-next", "busybox"] {
        let server = Server::named(name);
        answers_unrefused(&server, &Sealed::derived(&server));
    }
}

#[test]
fn a_go_server_answers_with_the_calls_that_it_was_seen_to_make() {
    let server = Server::named("nats-server");
    answers_unrefused(
        &server,
        &Sealed::learned(&server, &["--tcp", "4222", "--http", "8222/healthz=200"]),
    );
}

#[test]
fn a_c_server_answers_with_the_calls_that_it_was_seen_to_make() {
    let server = Server::named("busybox");
    answers_unrefused(
        &server,
        &Sealed::learned(&server, &["--http", "/index.html=200"]),
    );
}

#[test]
fn busybox_is_refused_unless_a_shell_is_allowed() {
    let server = Server::named("busybox");
    let refusal = Sealed::refusal(&server);
    assert!(
        refusal.contains("--allow-shell"),
        "the refusal names no remedy: {refusal}"
    );
}

#[test]
fn a_server_on_loopback_alone_is_told_apart() {
    let server = Server::named("pagefind");
    let verdict = Sealed::from(&server).test(&["--tcp", "1414", "--timeout", "90"]);
    assert_eq!(verdict.code, Some(1), "{}", verdict.output);
    assert!(
        verdict.output.contains("127.0.0.1"),
        "it does not say why nobody reaches it: {}",
        verdict.output
    );
}

#[test]
fn every_server_of_the_table_is_tested() {
    let tests = include_str!("main.rs");
    for server in corpus::all() {
        assert!(
            tests.contains(&format!("(\"{}\")", server.name)),
            "no test for {}",
            server.name
        );
    }
}
