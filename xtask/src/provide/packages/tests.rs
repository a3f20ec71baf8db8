//! What is there → what is run, without running it.

use super::*;

fn debian() -> Machine {
    Machine {
        manager: Some(Manager::Apt),
        root: true,
        sudo: false,
        policy: Policy::Absent,
        systemctl: true,
        package_known: false,
    }
}

const BOUNCER: Program = PROGRAMS[0];
const REDIS: Program = PROGRAMS[1];
const HYPOPG: Program = PROGRAMS[3];

#[test]
fn root_on_debian_installs_under_a_policy_and_disables_the_new_service() {
    let plan = plan(REDIS, &debian()).expect("a plan");
    assert!(plan.policy);
    assert_eq!(
        plan.install.join(" "),
        "env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 apt-get install -y --no-install-recommends redis-server"
    );
    assert_eq!(plan.refresh.expect("a refresh").join(" "), "apt-get update");
    assert_eq!(
        plan.disable.expect("a disable").join(" "),
        "systemctl disable redis-server"
    );
}

#[test]
fn a_policy_of_somebody_else_stays() {
    let machine = Machine {
        policy: Policy::Foreign,
        ..debian()
    };
    assert!(!plan(BOUNCER, &machine).expect("a plan").policy);
}

#[test]
fn a_service_that_was_there_is_not_disabled() {
    let machine = Machine {
        package_known: true,
        ..debian()
    };
    assert_eq!(plan(BOUNCER, &machine).expect("a plan").disable, None);
    let machine = Machine {
        systemctl: false,
        ..debian()
    };
    assert_eq!(plan(BOUNCER, &machine).expect("a plan").disable, None);
}

#[test]
fn an_extension_has_no_service_to_disable() {
    let plan = plan(HYPOPG, &debian()).expect("a plan");
    assert!(plan.install.iter().any(|a| a == "postgresql-15-hypopg"));
    assert_eq!(plan.disable, None);
}

#[test]
fn others_go_through_a_sudo_that_never_asks_or_not_at_all() {
    let user = Machine {
        root: false,
        sudo: true,
        ..debian()
    };
    let plan_of = plan(BOUNCER, &user).expect("a plan");
    for argv in [plan_of.install, plan_of.disable.expect("a disable")] {
        assert_eq!(argv[..2], ["sudo", "-n"]);
    }
    let stranger = Machine { sudo: false, ..user };
    assert!(
        plan(BOUNCER, &stranger)
            .expect_err("no way")
            .contains("needs root")
    );
}

#[test]
fn other_managers_have_their_own_words() {
    let with = |manager, root| Machine {
        manager,
        root,
        sudo: true,
        ..debian()
    };
    let words = |manager| {
        let plan = plan(REDIS, &with(Some(manager), true)).expect("a plan");
        assert!(!plan.policy && plan.refresh.is_none());
        plan.install.join(" ")
    };
    assert_eq!(words(Manager::Dnf), "dnf install -y redis");
    assert_eq!(words(Manager::Apk), "apk add --no-cache redis");
    assert_eq!(words(Manager::Pacman), "pacman -S --noconfirm --needed redis");
    let brew = plan(REDIS, &with(Some(Manager::Brew), false)).expect("a plan");
    assert_eq!(
        (brew.install.join(" "), brew.disable),
        ("brew install redis".to_owned(), None)
    );
    assert!(plan(REDIS, &with(Some(Manager::Brew), true)).is_err());
    assert!(plan(REDIS, &with(None, true)).is_err());
}

#[test]
fn what_cannot_be_installed_is_named_with_its_command() {
    assert_eq!(
        by_hand(REDIS, Some(Manager::Apt)),
        "sudo apt-get install redis-server"
    );
    assert_eq!(by_hand(REDIS, Some(Manager::Brew)), "brew install redis");
    assert_eq!(
        by_hand(BOUNCER, Some(Manager::Apk)),
        "sudo apk add --no-cache pgbouncer"
    );
    assert!(by_hand(BOUNCER, None).contains("pgbouncer"));
}

#[test]
fn an_install_that_fails_is_an_error_and_is_tried_once_more_after_a_refresh() {
    let words = |w: &[&str]| w.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    let marker = std::env::temp_dir().join(format!("muster-xtask-refresh-{}", std::process::id()));
    let path = marker.to_string_lossy().into_owned();
    let scratch = std::env::temp_dir();
    let plan = |refresh: &[&str]| Plan {
        policy: false,
        install: words(&["ls", &path]),
        refresh: Some(words(refresh)),
        disable: None,
    };
    assert!(run(&plan(&["true"]), &debian(), &scratch).is_err());
    let second = run(&plan(&["touch", &path]), &debian(), &scratch);
    std::fs::remove_file(&marker).expect("the refresh made it");
    second.expect("the second attempt finds it");
}
