"""What is in a release runs, as its users would run it. Needs root, and the architecture of this machine."""

import os
import pathlib
import subprocess
import tempfile
import unittest

from release import ARCHITECTURE, HERE, RELEASE, VERSION, layout

NEEDS_ROOT = unittest.skipUnless(os.getuid() == 0, "only root can make a system to run it in")

# What begins a script of `in_a_pod`.
SERVES = """
    start fedgate serve --store-url sqlite:///var/lib/fedgate/fedgate.db \\
      --bootstrap-token-file /var/lib/fedgate/token
    within 30 curl --fail --silent http://127.0.0.1:8600/readyz
"""


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


class Running(unittest.TestCase):
    def holds(self, *command):
        code, said = run(*command)
        self.assertEqual(code, 0, said)
        return said

    @NEEDS_ROOT
    def test_the_package_is_installed_updated_and_removed_in_a_clean_debian(self):
        said = self.holds(HERE / "box", RELEASE / f"fedgate_{VERSION}_{ARCHITECTURE}.deb")
        self.assertGreater(said.count("ok: "), 30, said)

    def test_the_program_of_the_tarball_runs_where_it_was_unpacked(self):
        with tempfile.TemporaryDirectory() as folder:
            self.holds("tar", "xzf", RELEASE / f"fedgate-{VERSION}-linux-{ARCHITECTURE}.tar.gz", "-C", folder)
            tree = pathlib.Path(folder) / f"fedgate-{VERSION}-linux-{ARCHITECTURE}"
            self.assertEqual(self.holds(tree / "bin/fedgate", "--version"), f"fedgate {VERSION}\n")
            self.holds(tree / "bin/fedgate", "serve", "--config", tree / "examples/fedgate.toml", "--check-config",
                       "--store-url", f"sqlite://{folder}/fedgate.db", "--bootstrap-token-file", f"{folder}/token")
            for file in ("share/man/man1/fedgate.1", "share/fedgate/fedgate_filter.wasm", "envoy/both.yaml", "LICENSE",
                         "systemd/fedgate.service", "docs/setup.md", "sbom/fedgate.cdx.json"):
                self.assertTrue((tree / file).is_file(), file)

    def in_a_pod(self, image, script):
        with tempfile.TemporaryDirectory() as folder:
            # Our user has to pass.
            os.chmod(folder, 0o755)
            layout(image).unpack(ARCHITECTURE, folder)
            return self.holds(HERE / "as-a-pod", folder, script)

    @NEEDS_ROOT
    def test_the_control_planes_image_serves_and_lists_a_domain(self):
        said = self.in_a_pod("fedgate", SERVES + """
            inside fedgate domain add a.com --token-file /var/lib/fedgate/token
            inside fedgate domain list --token-file /var/lib/fedgate/token
            kill -TERM $started
            wait $started
        """)
        self.assertIn("a.com is on the allow list", said)

    @NEEDS_ROOT
    def test_the_control_planes_image_finds_hosts_by_name(self):
        said = self.in_a_pod("fedgate", SERVES + """
            inside fedgate domain list --token-file /var/lib/fedgate/token --url http://plane.example:8600
            echo found
            inside fedgate domain list --token-file /var/lib/fedgate/token --url http://plain.example:8600 || echo not found
        """)
        self.assertRegex(said, r"(?s)\nfound\n.*\nnot found\n")

    @NEEDS_ROOT
    def test_envoys_image_loads_the_filter_and_ends_when_it_is_told(self):
        self.in_a_pod("fedgate-envoy", """
            mount -o remount,bind,rw "$root"
            mkdir "$root/etc/fedgate/tls"
            mount -t tmpfs tmpfs "$root/etc/fedgate/tls"
            openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 2 -subj /CN=infra.b.com \\
              -addext subjectAltName=DNS:infra.b.com -keyout "$root/etc/fedgate/tls/server.key" \\
              -out "$root/etc/fedgate/tls/server.pem" 2>/dev/null
            cd "$root/etc/fedgate/tls"
            chmod 0644 server.key
            cp server.key client.key; cp server.pem client.pem; cp server.pem trust.pem
            mount -o remount,bind,ro "$root"
            export FEDGATE_TOKEN=none
            inside envoy -c /etc/fedgate/both.yaml --mode validate
            start fedgate envoy --patience 1s -- envoy -c /etc/fedgate/both.yaml --disable-hot-restart
            within 60 curl --fail --silent http://127.0.0.1:9901/ready
            # Refused by the filter, which knows nobody: it runs.
            curl --silent --insecure --cert client.pem --key client.key --header 'Wire-Origin-Domain: a.com' \\
              --request POST https://127.0.0.1:8443/federation/brig/api-version | grep '"label":"'
            kill -TERM $started
            wait $started
        """)

    @NEEDS_ROOT
    def test_the_image_for_another_architecture_serves_in_an_emulator(self):
        others = layout("fedgate").manifests().keys() - {ARCHITECTURE}
        if not others:
            self.skipTest(f"this release is for {ARCHITECTURE} alone")
        for architecture in others:
            machine = {"amd64": "x86_64", "arm64": "aarch64"}[architecture]
            with tempfile.TemporaryDirectory() as folder, self.subTest(architecture):
                layout("fedgate").unpack(architecture, folder)
                said = self.holds("unshare", "--net", "bash", "-euc", f"""
                    ip link set lo up
                    fedgate() {{ qemu-{machine}-static -L {folder} {folder}/usr/bin/fedgate "$@"; }}
                    fedgate --version
                    qemu-{machine}-static -L {folder} {folder}/usr/bin/fedgate serve --discovery-servers 127.0.0.1 \\
                      --store-url sqlite://{folder}/tmp/fedgate.db --bootstrap-token-file {folder}/tmp/token &
                    deadline=$((SECONDS + 60))
                    until curl --fail --silent http://127.0.0.1:8600/readyz; do [ $SECONDS -lt $deadline ]; done
                    fedgate domain add a.com --token-file {folder}/tmp/token
                    fedgate domain list --token-file {folder}/tmp/token
                    kill -TERM $!
                    wait $!
                """)
                self.assertIn(f"fedgate {VERSION}\n", said)
                self.assertIn("a.com is on the allow list", said)


if __name__ == "__main__":
    unittest.main()
