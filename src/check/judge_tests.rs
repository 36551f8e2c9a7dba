use super::*;
use crate::check::Http;

fn http(status: u16, body: Option<&str>) -> Expectation {
    let body = body.map(|body| regex::Regex::new(body).unwrap());
    Expectation::Http(Http {
        port: 80,
        path: "/".to_owned(),
        status,
        body,
    })
}

fn answer(status: u16, body: &str) -> Option<Answer> {
    Some(Answer::Http {
        status,
        body: body.to_owned(),
    })
}

/// A server that was ready, was asked to stop, and did.
fn served(answers: Vec<Option<Answer>>) -> Observed {
    Observed {
        ready: true,
        answers,
        stop_requested: true,
        ending: Some(Ending::Exit(0)),
        machine: Some(Stop::PoweredOff),
        limit: Duration::from_secs(9),
        ..Observed::default()
    }
}

fn shown(expectations: &[Expectation], seen: &Observed) -> String {
    let line = |finding: &Finding| {
        let sign = if finding.ok { '+' } else { '-' };
        format!("{sign} {}: {}", finding.name, finding.detail)
    };
    judge(expectations, seen)
        .iter()
        .map(line)
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn a_server_that_answers_and_stops_is_good() {
    assert_eq!(
        shown(
            &[http(200, Some("^hi")), Expectation::Tcp(80)],
            &served(vec![answer(200, "hi"), Some(Answer::Held)])
        ),
        "+ ready: told by init
+ http 80/=200: status 200, the body matches /^hi/
+ tcp 80: it takes connections, and init says that it listens
+ stop: in order, the app ended with 0"
    );
}

#[test]
fn a_wrong_answer_is_bad() {
    let seen = served(vec![answer(500, ""), answer(200, "a\nb")]);
    assert_eq!(
        shown(&[http(200, None), http(200, Some("^c"))], &seen),
        "+ ready: told by init
- http 80/=200: the status is 500
- http 80/=200: the body does not match /^c/: a b
+ stop: in order, the app ended with 0"
    );
}

#[test]
fn an_app_that_never_listens_is_not_ready() {
    let seen = Observed {
        ready: false,
        last_line: Some("ampoule: app pid=2".to_owned()),
        ..served(vec![Some(Answer::None("refused".to_owned()))])
    };
    assert_eq!(
        shown(&[http(200, None)], &seen),
        "- ready: it was not ready within 9 s; the console's last line: ampoule: app pid=2
- http 80/=200: no answer within 9 s: refused
+ stop: in order, the app ended with 0"
    );
}

#[test]
fn an_app_on_the_loopback_address_is_told_so() {
    let seen = Observed {
        ready: false,
        loopback_only: vec![80],
        ..served(vec![Some(Answer::None("refused".to_owned()))])
    };
    assert_eq!(
        shown(&[http(200, None)], &seen),
        "- ready: it listens on port 80 of 127.0.0.1 only, where nobody outside the machine reaches it; let it listen on 0.0.0.0
- http 80/=200: no answer: it listens on port 80 of 127.0.0.1 only
+ stop: in order, the app ended with 0"
    );
}

#[test]
fn an_end_before_it_is_ready_is_bad_even_with_0() {
    let seen = Observed {
        ready: false,
        stop_requested: false,
        ..served(vec![None])
    };
    assert_eq!(
        shown(&[http(200, None)], &seen),
        "- ready: the app ended with 0 before it was ready
- http 80/=200: the app ended with 0 before it answered
- stop: the app ended with 0 before it was asked to stop"
    );
}

#[test]
fn a_crash_after_it_was_ready_is_bad() {
    let seen = Observed {
        stop_requested: false,
        ending: Some(Ending::Signal(11)),
        ..served(vec![answer(200, "")])
    };
    assert_eq!(
        shown(&[http(200, None)], &seen),
        "+ ready: told by init
+ http 80/=200: status 200
- stop: the app was ended by signal 11 (SIGSEGV) before it was asked to stop"
    );
}

#[test]
fn only_sigterm_and_codes_are_an_orderly_stop() {
    let stop = |ending, machine| {
        let seen = Observed {
            ending,
            machine,
            ..served(Vec::new())
        };
        shown(&[], &seen).lines().nth(1).unwrap().to_owned()
    };
    let off = || Some(Stop::PoweredOff);
    assert_eq!(
        stop(Some(Ending::Signal(15)), off()),
        "+ stop: in order, the app ended by SIGTERM"
    );
    assert_eq!(
        stop(Some(Ending::Exit(143)), off()),
        "+ stop: in order, the app ended with 143"
    );
    assert_eq!(
        stop(Some(Ending::Signal(9)), off()),
        "- stop: the app ignored SIGTERM, and init killed it after its grace time"
    );
    assert_eq!(
        stop(Some(Ending::Signal(6)), off()),
        "- stop: the app was ended by signal 6 (SIGABRT) while it was stopped"
    );
    assert_eq!(
        stop(Some(Ending::Exit(0)), None),
        "- stop: it did not stop when the power button was pressed, and was killed"
    );
    assert_eq!(
        stop(None, off()),
        "- stop: the guest powered the machine off without a verdict"
    );
}

#[test]
fn a_job_must_end_with_its_code() {
    let job = |ending, machine| {
        let seen = Observed {
            ready: false,
            stop_requested: false,
            ending,
            machine,
            ..served(Vec::new())
        };
        shown(&[Expectation::Exit(3)], &seen)
    };
    let off = || Some(Stop::PoweredOff);
    assert_eq!(job(Some(Ending::Exit(3)), off()), "+ exit 3: so it did");
    assert_eq!(
        job(Some(Ending::Exit(0)), off()),
        "- exit 3: the app ended with 0"
    );
    assert_eq!(job(None, None), "- exit 3: it did not end within 9 s");
    let failed = Ending::Failed {
        code: "exec".to_owned(),
        reason: "no such file".to_owned(),
    };
    assert_eq!(
        job(Some(failed), off()),
        "- exit 3: init failed (exec): no such file"
    );
}

#[test]
fn a_panic_of_the_kernel_is_told() {
    let seen = Observed {
        ready: false,
        stop_requested: false,
        ending: None,
        machine: Some(Stop::Reset),
        panic: Some("Kernel panic - not syncing: no init".to_owned()),
        ..served(Vec::new())
    };
    assert_eq!(
        shown(&[], &seen),
        "- ready: the kernel panicked (Kernel panic - not syncing: no init) before it was ready
- stop: the kernel panicked (Kernel panic - not syncing: no init) before it was asked to stop"
    );
}
