//! Processors, memory, accelerators, operating systems.

use std::os::unix::fs::symlink;
use std::time::Duration;

use crate::common::{Machine, fifo};

#[test]
fn an_x86_server() {
    let machine = Machine::new();
    let one = "processor\t: 0\nmodel name\t: AMD EPYC 7763 64-Core Processor\n\n";
    machine.file("proc/cpuinfo", one.repeat(3));
    machine.file("proc/meminfo", "MemTotal:       65831432 kB\nMemFree: 1 kB\n");
    machine.file("proc/sys/kernel/ostype", "Linux\n");
    machine.file("proc/sys/kernel/osrelease", "6.1.0-18-amd64\n");
    machine.file("proc/sys/kernel/arch", "x86_64\n");
    machine.file(
        "etc/os-release",
        "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID='12'\nID=debian\n",
    );
    let environment = machine.gather();
    let cpu = environment.hardware.cpu.unwrap();
    assert_eq!(cpu.model.as_deref(), Some("AMD EPYC 7763 64-Core Processor"));
    assert_eq!(cpu.count, 3);
    assert_eq!(environment.hardware.memory_bytes, Some(65_831_432 * 1024));
    assert_eq!(environment.hardware.architecture, "x86_64");
    assert_eq!(environment.os.name.as_deref(), Some("Debian GNU/Linux 12 (bookworm)"));
    assert_eq!(environment.os.id.as_deref(), Some("debian"));
    assert_eq!(environment.os.version.as_deref(), Some("12"));
    assert_eq!(environment.os.kernel.as_deref(), Some("Linux 6.1.0-18-amd64"));
}

#[test]
fn an_arm_server() {
    let machine = Machine::new();
    let one = "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n\n";
    machine.file("proc/cpuinfo", one.repeat(2));
    let cpu = machine.gather().hardware.cpu.unwrap();
    assert_eq!((cpu.model.as_deref(), cpu.count), (Some("Neoverse-N1"), 2));
}

/// Whatever lies in the place of a file: it is not waited for, and not believed.
#[test]
fn something_else_in_the_place_of_a_file() {
    let machine = Machine::new();
    let root = machine.sources.root.clone();
    fifo(&root.join("proc/cpuinfo"));
    // One with something in it, too.
    let both = std::fs::OpenOptions::new().read(true).write(true).open(root.join("proc/cpuinfo"));
    std::io::Write::write_all(&mut both.as_ref().unwrap(), b"processor\t: 0\n").unwrap();
    fifo(&root.join("etc/os-release"));
    std::fs::create_dir_all(root.join("proc/meminfo")).unwrap();
    symlink("containerenv", root.join("x")).unwrap();
    std::fs::create_dir_all(root.join("run")).unwrap();
    symlink(".containerenv", root.join("run/.containerenv")).unwrap();
    machine.file("proc/sys/kernel/osrelease", "6.1\u{1b}[31m\n");
    machine.file("proc/driver/nvidia/version", vec![0xff; 1 << 20]);
    let environment = machine.gather();
    assert_eq!(environment.hardware.cpu, None);
    assert_eq!(environment.hardware.memory_bytes, None);
    assert_eq!(environment.os, Default::default());
    assert_eq!(environment.container, None);
}

#[test]
fn nvidia_as_its_program_tells() {
    let mut machine = Machine::new();
    machine.file(
        "proc/driver/nvidia/version",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.14  Release Build\n",
    );
    machine.file("usr/local/cuda/version.json", r#"{"cuda":{"name":"x","version":"12.4.1"}}"#);
    machine.sources.nvidia_smi = machine.program(
        "nvidia-smi",
        r#"if [ $# = 0 ]; then
             echo '| NVIDIA-SMI 550.54.14   Driver Version: 550.54.14   CUDA Version: 12.5  |'
           else
             echo 'NVIDIA A100-SXM4-80GB, 550.54.14, 81920 MiB'
             echo 'NVIDIA A100-SXM4-80GB, 550.54.14, 81920 MiB'
             echo 'NVIDIA T4, 550.54.14, [N/A]'
           fi"#,
    );
    let all = machine.gather().hardware.accelerators;
    assert_eq!(all.nvidia_driver.as_deref(), Some("550.54.14"));
    assert_eq!(all.cuda.as_deref(), Some("12.4.1"));
    assert_eq!(all.cuda_of_driver.as_deref(), Some("12.5"));
    let gpus: Vec<_> =
        all.gpus.iter().map(|g| (g.model.as_str(), g.memory_bytes, g.count)).collect();
    assert_eq!(gpus, [("NVIDIA A100-SXM4-80GB", Some(81_920 << 20), 2), ("NVIDIA T4", None, 1)]);
}

/// Readers that keep the first and the last of two equal keys would disagree.
#[test]
fn a_toolkit_of_two_versions() {
    let machine = Machine::new();
    machine.file(
        "usr/local/cuda/version.json",
        r#"{"cuda":{"version":"12.4.1"},"cuda":{"version":"11.8.0"}}"#,
    );
    assert_eq!(machine.gather().hardware.accelerators.cuda, None);
}

#[test]
fn nvidia_without_its_program() {
    let mut machine = Machine::new();
    machine.file(
        "proc/driver/nvidia/version",
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC\n",
    );
    for bus in ["0000:01:00.0", "0000:02:00.0"] {
        machine.file(
            &format!("proc/driver/nvidia/gpus/{bus}/information"),
            "Model: \t\t NVIDIA H100\nGPU UUID: \t GPU-11111111-2222\nBus Location: x\n",
        );
    }
    machine.set(&[("CUDA_VERSION", "12.1.0")]);
    let environment = machine.gather();
    let all = &environment.hardware.accelerators;
    assert_eq!(all.nvidia_driver.as_deref(), Some("535.104.05"));
    assert_eq!(all.cuda.as_deref(), Some("12.1.0"));
    assert_eq!((all.gpus[0].model.as_str(), all.gpus[0].count), ("NVIDIA H100", 2));
    assert!(!serde_json::to_string(&environment).unwrap().contains("11111111"));
    // A program that fails, or hangs, is a note.
    machine.sources.nvidia_smi = machine.program("broken-smi", "exit 9");
    assert!(machine.notes("gpu").contains("failed"));
    machine.sources.nvidia_smi = machine.program("slow-smi", "sleep 1000");
    machine.sources.patience = Duration::from_millis(200);
    assert!(machine.notes("gpu").contains("too long"));
    assert_eq!(machine.gather().hardware.accelerators.gpus[0].count, 2);
}

#[test]
fn amd() {
    let machine = Machine::new();
    let nodes = "sys/class/kfd/kfd/topology/nodes";
    machine.file(&format!("{nodes}/0/properties"), "cpu_cores_count 64\nsimd_count 0\n");
    for node in [1, 2] {
        machine.file(
            &format!("{nodes}/{node}/properties"),
            "simd_count 440\ngfx_target_version 90010\nunique_id 1234567890123\n",
        );
        machine.file(
            &format!("{nodes}/{node}/mem_banks/0/properties"),
            "heap_type 1\nsize_in_bytes 68702699520\n",
        );
    }
    machine.file("sys/module/amdgpu/version", "6.7.0\n");
    machine.file("opt/rocm/.info/version", "6.1.2-129\n");
    let environment = machine.gather();
    let all = &environment.hardware.accelerators;
    assert_eq!(all.gpus.len(), 1);
    assert_eq!((all.gpus[0].model.as_str(), all.gpus[0].count), ("gfx90a", 2));
    assert_eq!(all.gpus[0].memory_bytes, Some(68_702_699_520));
    assert_eq!(all.amdgpu_driver.as_deref(), Some("6.7.0"));
    assert_eq!(all.rocm.as_deref(), Some("6.1.2-129"));
    assert!(!serde_json::to_string(&environment).unwrap().contains("1234567890123"));
}

#[test]
fn amd_cards_without_the_compute_driver() {
    let machine = Machine::new();
    let card = "sys/class/drm/card1/device";
    machine.file(&format!("{card}/vendor"), "0x1002\n");
    machine.file(&format!("{card}/product_name"), "Radeon Pro W6800\n");
    machine.file(&format!("{card}/mem_info_vram_total"), "34342961152\n");
    machine.file("sys/class/drm/card0/device/vendor", "0x8086\n");
    machine.file("sys/class/drm/card1-DP-1/device/vendor", "0x1002\n");
    let all = machine.gather().hardware.accelerators;
    assert_eq!(all.gpus.len(), 1);
    assert_eq!(all.gpus[0].model, "Radeon Pro W6800");
    assert_eq!(all.gpus[0].memory_bytes, Some(34_342_961_152));
}
