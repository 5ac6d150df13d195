//! The images that the tests run, made from Debian's own binaries: there is no registry to ask.

use super::State;
use super::engine::docker;
use crate::command;
use anyhow::{Context as _, Result};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const NOSHELL: &str = include_str!("noshell.c");

/// The configuration of `sf-nginx`: one worker, one small page, a log on stdout.
const NGINX: &str = "\
daemon off;
worker_processes 1;
error_log /dev/stderr;
pid /tmp/nginx.pid;
events { worker_connections 512; }
http {
    access_log off;
    client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi;
    server { listen 80; root /www; }
}
";

/// Makes and imports all images.
pub(crate) fn up(state: &State) -> Result<()> {
    let folder = state.dir.join("images");
    let busybox = folder.join("busybox");
    skeleton(&busybox)?;
    import(state, &busybox, "sf-busybox", r#"["sh"]"#)?;

    let redis = folder.join("redis");
    skeleton(&redis)?;
    for program in ["redis-server", "redis-cli", "redis-benchmark"] {
        install_with_libraries(&redis, program)?;
    }
    import(
        state,
        &redis,
        "sf-redis",
        r#"["/usr/bin/redis-server", "--save", "", "--dir", "/tmp"]"#,
    )?;

    let nginx = folder.join("nginx");
    skeleton(&nginx)?;
    install_with_libraries(&nginx, "nginx")?;
    fs::write(nginx.join("etc/nginx.conf"), NGINX)?;
    fs::create_dir_all(nginx.join("var/log/nginx"))?;
    fs::create_dir_all(nginx.join("www"))?;
    fs::write(nginx.join("www/index.html"), "a page\n".repeat(100))?;
    import(
        state,
        &nginx,
        "sf-nginx",
        r#"["/usr/bin/nginx", "-c", "/etc/nginx.conf"]"#,
    )?;

    let noshell = folder.join("noshell");
    fs::create_dir_all(&noshell)?;
    let source = folder.join("noshell.c");
    fs::write(&source, NOSHELL)?;
    let mut compiler = Command::new("cc");
    compiler
        .args(["-O1", "-static", "-o"])
        .arg(noshell.join("noshell"))
        .arg(&source);
    command::output(&mut compiler)?;
    import(state, &noshell, "sf-noshell", r#"["/noshell"]"#)?;
    fs::remove_dir_all(&folder)?;
    Ok(())
}

/// A root folder with busybox and its commands, two users, and the folders that programs expect.
fn skeleton(root: &Path) -> Result<()> {
    for folder in [
        "bin", "usr/bin", "etc", "dev", "proc", "sys", "tmp", "var", "root", "mnt",
    ] {
        fs::create_dir_all(root.join(folder))?;
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777))?;
    fs::copy("/bin/busybox", root.join("bin/busybox")).context("cannot copy /bin/busybox")?;
    for applet in command::output(Command::new("/bin/busybox").arg("--list"))?.lines() {
        if applet != "busybox" {
            symlink("busybox", root.join("bin").join(applet))?;
        }
    }
    fs::write(
        root.join("etc/passwd"),
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n",
    )?;
    fs::write(root.join("etc/group"), "root:x:0:\nnogroup:x:65534:\n")?;
    Ok(())
}

/// Puts a program of the host into `usr/bin`, and every library that it loads where it looks for it.
fn install_with_libraries(root: &Path, program: &str) -> Result<()> {
    let path = ["/usr/bin", "/usr/sbin"]
        .iter()
        .map(|folder| Path::new(folder).join(program))
        .find(|path| path.exists())
        .with_context(|| format!("there is no {program} in /usr/bin or /usr/sbin"))?;
    fs::copy(&path, root.join("usr/bin").join(program))?;
    for library in libraries(&command::output(Command::new("ldd").arg(&path))?) {
        let place = root.join(library.strip_prefix("/")?);
        if let Some(folder) = place.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::copy(&library, &place).with_context(|| format!("cannot copy {}", library.display()))?;
    }
    Ok(())
}

/// The absolute paths in the output of ldd(1): libraries and the loader.
fn libraries(ldd: &str) -> BTreeSet<PathBuf> {
    ldd.split_ascii_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from)
        .collect()
}

fn import(state: &State, root: &Path, image: &str, cmd: &str) -> Result<()> {
    crate::interrupt::check()?;
    let mut tar = Command::new("tar")
        .args([
            "--create",
            "--numeric-owner",
            "--owner=0",
            "--group=0",
            "--directory",
        ])
        .args([root.as_os_str(), ".".as_ref()])
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run tar")?;
    let stream = tar.stdout.take().context("tar has no output")?;
    let imported = docker(state)
        .args(["import", "--change", &format!("CMD {cmd}"), "-", image])
        .stdin(stream)
        .output()
        .context("cannot run docker import")?;
    let packed = tar.wait().context("cannot wait for tar")?;
    anyhow::ensure!(packed.success(), "tar of {}: {packed}", root.display());
    anyhow::ensure!(
        imported.status.success(),
        "docker import {image}: {}: {}",
        imported.status,
        String::from_utf8_lossy(&imported.stderr)
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_with_and_without_an_arrow() {
        let ldd = "\tlinux-vdso.so.1 (0x00007ff)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x7f)\n\
                   \t/lib64/ld-linux-x86-64.so.2 (0x7f)\n";
        let found: Vec<PathBuf> = libraries(ldd).into_iter().collect();
        assert_eq!(
            found,
            [
                PathBuf::from("/lib/x86_64-linux-gnu/libc.so.6"),
                PathBuf::from("/lib64/ld-linux-x86-64.so.2")
            ]
        );
    }
}
