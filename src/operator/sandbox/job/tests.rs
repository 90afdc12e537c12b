#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use expect_test::expect_file;
use reeve_api::SandboxResources;

use super::*;

fn run() -> AgentRun {
    serde_json::from_value(serde_json::json!({
        "apiVersion": "reeve.dev/v1alpha1",
        "kind": "AgentRun",
        "metadata": { "name": "fix-parser", "namespace": "team-a", "uid": "6f0f5b0e-6d0c-4f57-9c5e-4a39c7f0a001" },
        "spec": { "role": "Coder", "objective": "Fix the parser.", "profileRef": { "name": "default" } },
    }))
    .unwrap()
}

fn shape() -> SandboxShape {
    let SandboxResources { cpu, memory, workspace } = SandboxResources::default();
    SandboxShape { image: "registry.example/sandbox:1".to_owned(), cpu, memory, workspace, runtime_class: None }
}

fn job_of(run: &AgentRun, shape: &SandboxShape) -> Result<Job, InvalidSandbox> {
    let (job_name, installer_image) = ("fix-parser", "registry.example/reeve:1");
    job(&SandboxSpec { run, job_name, shape, installer_image, pull_policy: "IfNotPresent", deadline_seconds: 1800 })
}

fn pod_spec() -> PodSpec {
    job_of(&run(), &shape()).unwrap().spec.unwrap().template.spec.unwrap()
}

#[test]
fn a_job_reads_like_this() {
    expect_file!["job.yaml"].assert_eq(&serde_saphyr::to_string(&job_of(&run(), &shape()).unwrap()).unwrap());
}

/// <https://kubernetes.io/docs/concepts/security/pod-security-standards/>, Baseline and Restricted, control by control.
#[test]
fn the_pod_meets_pod_security_restricted() {
    let pod = pod_spec();
    // Baseline.
    assert_eq!((pod.host_network, pod.host_pid, pod.host_ipc), (None, None, None), "Host Namespaces");
    let context = pod.security_context.as_ref().unwrap();
    assert!(context.windows_options.is_none(), "HostProcess");
    assert!(context.sysctls.is_none(), "Sysctls");
    assert!(context.app_armor_profile.is_none() && context.se_linux_options.is_none(), "AppArmor, SELinux: the node's default");
    // Restricted.
    for volume in pod.volumes.as_ref().unwrap() {
        let empty_dir = Volume { name: volume.name.clone(), empty_dir: volume.empty_dir.clone(), ..Volume::default() };
        assert!(volume.empty_dir.is_some() && *volume == empty_dir, "Volume Types: {}", volume.name);
    }
    assert_eq!(context.run_as_non_root, Some(true), "Running as Non-root");
    assert!(context.run_as_user.is_some_and(|user| user > 0), "Running as Non-root user");
    assert_eq!(context.seccomp_profile.as_ref().unwrap().type_, "RuntimeDefault", "Seccomp");
    assert!(pod.ephemeral_containers.is_none());
    for container in pod.containers.iter().chain(pod.init_containers.iter().flatten()) {
        let name = &container.name;
        assert!(container.ports.is_none(), "Host Ports: {name}");
        let context = container.security_context.as_ref().unwrap();
        assert_ne!(context.privileged, Some(true), "Privileged Containers: {name}");
        assert!(context.proc_mount.is_none(), "/proc Mount Type: {name}");
        assert_eq!(context.allow_privilege_escalation, Some(false), "Privilege Escalation: {name}");
        let capabilities = context.capabilities.as_ref().unwrap();
        assert_eq!((capabilities.drop.as_deref(), capabilities.add.as_deref()), (Some(["ALL".to_owned()].as_slice()), None), "{name}");
        assert!(
            context.run_as_user.is_none() && context.run_as_non_root.is_none() && context.seccomp_profile.is_none(),
            "overrides: {name}"
        );
        // Beyond the standard.
        assert_eq!(context.read_only_root_filesystem, Some(true), "{name}");
    }
}

#[test]
fn nothing_of_the_cluster_leaks_into_the_pod() {
    let pod = pod_spec();
    assert_eq!(pod.automount_service_account_token, Some(false));
    assert_eq!(pod.enable_service_links, Some(false));
    assert!(pod.image_pull_secrets.is_none() && pod.service_account_name.is_none());
    for container in pod.containers.iter().chain(pod.init_containers.iter().flatten()) {
        assert!(container.env.is_none() && container.env_from.is_none(), "{}", container.name);
    }
}

#[test]
fn every_volume_is_bounded_and_all_of_them_fit_the_storage_limit() {
    let pod = pod_spec();
    let mib = |quantity: &Quantity| quantity.0.strip_suffix("Mi").unwrap().parse::<u64>().unwrap();
    let volumes: u64 = pod.volumes.unwrap().iter().map(|volume| mib(volume.empty_dir.as_ref().unwrap().size_limit.as_ref().unwrap())).sum();
    let limits = pod.containers[0].resources.clone().unwrap().limits.unwrap();
    assert_eq!(mib(&limits["ephemeral-storage"]), volumes + 64);
}

#[test]
fn sizes_are_understood_or_refused() {
    for (text, expected) in [("1", 1000), ("0.5", 500), ("2.125", 2125), ("250m", 250)] {
        assert_eq!(millicpu(text), Ok(expected), "{text}");
    }
    for text in ["", "0", "0m", "1.", "1.0001", "x", "-1", "1Gi", "99999999999999999999", "+1"] {
        assert!(millicpu(text).is_err(), "{text}");
    }
    assert_eq!(size("memory", "512Mi"), Ok(512 * MIB));
    assert_eq!(size("memory", "3Gi"), Ok(3072 * MIB));
    for text in ["", "1", "1G", "0Mi", "1.5Gi", "-1Gi", "99999999999999999999Gi"] {
        assert!(size("memory", text).is_err(), "{text}");
    }
    let error = job_of(&run(), &SandboxShape { memory: "lots".to_owned(), ..shape() }).unwrap_err();
    assert_eq!(error.to_string(), r#"sandbox.resources.memory: expected a whole number followed by Ki, Mi or Gi, found "lots""#);
}
