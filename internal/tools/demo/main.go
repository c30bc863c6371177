// Command demo shows the main job end to end: an OCI artifact is signed by a
// key in another process, verified against a trust policy, tampered with, and
// refused. It works in a temporary directory and talks to nobody.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	bin := flag.String("bin", "bin", "directory of the binaries signet and notation-example")
	flag.Parse()
	if err := run(*bin); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(bin string) error {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "signet-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	d := &demo{bin: bin, dir: dir}
	for _, act := range []func() error{
		d.prepare, d.sign, d.verify, d.look,
		d.swappedArtifact, d.swappedSignature, d.untrustedRoot, d.missingPlugin,
	} {
		if err := act(); err != nil {
			return err
		}
	}
	d.say("Done: everything that should pass passed, and everything that should be refused was refused.")
	return nil
}

// demo is one run; its methods are the acts.
type demo struct {
	bin, dir string
	digest   string // of the artifact
}

func (d *demo) say(format string, args ...any) {
	fmt.Printf("\n\033[1m# "+format+"\033[0m\n", args...)
}

// prepare makes keys, an artifact, and a trust policy; and installs the plugin.
func (d *demo) prepare() error {
	d.say("A key and its certificates, which only the plugin will open; an artifact in an OCI layout")
	if err := makeSigner(d.dir, "demo"); err != nil {
		return err
	}
	if err := makeSigner(d.dir, "stranger"); err != nil {
		return err
	}
	var err error
	if d.digest, err = makeLayout(filepath.Join(d.dir, "layout"), "hello, world\n"); err != nil {
		return err
	}
	d.say("Install the plugin that holds the key, tell signet about the key, and say whom to trust")
	if err := os.WriteFile(filepath.Join(d.dir, "policy.json"), []byte(policy), 0o600); err != nil {
		return err
	}
	binary := filepath.Join(d.bin, "notation-example")
	if _, err := os.Stat(binary + ".exe"); err == nil {
		binary += ".exe"
	}
	return d.all(
		pass("plugin", "install", "--file", binary),
		pass("plugin", "list"),
		pass("key", "add", "--default", "--plugin", "example", "--id", filepath.Join(d.dir, "demo.key"),
			"--plugin-config", "certificate_chain="+filepath.Join(d.dir, "demo.crt"), "demo"),
		pass("cert", "add", "--type", "ca", "--store", "demo", filepath.Join(d.dir, "demo-root.crt")),
		pass("policy", "import", "policy.json"),
	)
}

const policy = `{
  "version": "1.0",
  "trustPolicies": [
    {
      "name": "demo",
      "registryScopes": ["demo/app"],
      "signatureVerification": {"level": "strict"},
      "trustStores": ["ca:demo"],
      "trustedIdentities": ["x509.subject: C=US, ST=WA, O=signet demo, CN=demo signer"]
    }
  ]
}
`

func (d *demo) sign() error {
	d.say("Sign in both formats: the private key stays in the plugin's process")
	return d.all(
		pass("sign", "--oci-layout", "--signature-format", "jws", "--user-metadata", "build=42", d.artifact("layout")),
		pass("sign", "--oci-layout", "--signature-format", "cose", "--expiry", "24h", d.artifact("layout")),
	)
}

func (d *demo) verify() error {
	d.say("Verify against the trust policy")
	return d.all(pass(d.verifyArgs("layout")...))
}

func (d *demo) look() error {
	d.say("Look at the signatures")
	return d.all(
		pass("list", "--oci-layout", d.artifact("layout")),
		pass("inspect", "--oci-layout", d.artifact("layout")),
	)
}

func (d *demo) swappedArtifact() error {
	d.say("Tamper 1: another artifact with the signatures of the first one")
	other, err := makeLayout(filepath.Join(d.dir, "swapped"), "hello, evil\n")
	if err != nil {
		return err
	}
	if err := moveSignatures(filepath.Join(d.dir, "layout"), filepath.Join(d.dir, "swapped")); err != nil {
		return err
	}
	return d.all(refuse("content descriptor mismatch", "verify", "--oci-layout", "--scope", "demo/app", "swapped@"+other))
}

func (d *demo) swappedSignature() error {
	d.say("Tamper 2: one bit of each signature flipped")
	if err := flipSignatures(filepath.Join(d.dir, "layout"), filepath.Join(d.dir, "flipped")); err != nil {
		return err
	}
	return d.all(refuse("", d.verifyArgs("flipped")...))
}

func (d *demo) untrustedRoot() error {
	d.say("Tamper 3: signed by somebody the trust policy does not know")
	if _, err := makeLayout(filepath.Join(d.dir, "strange"), "hello, world\n"); err != nil {
		return err
	}
	return d.all(
		pass("sign", "--oci-layout", "--plugin", "example", "--id", filepath.Join(d.dir, "stranger.key"),
			"--plugin-config", "certificate_chain="+filepath.Join(d.dir, "stranger.crt"), d.artifact("strange")),
		refuse("trusted certificate", d.verifyArgs("strange")...),
	)
}

func (d *demo) missingPlugin() error {
	d.say("Tamper 4: a signature that demands a plugin which is not installed")
	if _, err := makeLayout(filepath.Join(d.dir, "demanding"), "hello, world\n"); err != nil {
		return err
	}
	if err := signDemanding(d.dir, filepath.Join(d.dir, "demanding"), d.digest); err != nil {
		return err
	}
	return d.all(refuse("com.example.missing", d.verifyArgs("demanding")...))
}

func (d *demo) artifact(layout string) string { return layout + "@" + d.digest }

func (d *demo) verifyArgs(layout string) []string {
	return []string{"verify", "--oci-layout", "--scope", "demo/app", d.artifact(layout)}
}

// step is one command line and what is expected of it.
type step struct {
	args   []string
	fails  bool
	reason string // part of what is said on failure
}

func pass(args ...string) step { return step{args: args} }

func refuse(reason string, args ...string) step {
	return step{args: args, fails: true, reason: reason}
}

// all runs steps and requires each to end as expected.
func (d *demo) all(steps ...step) error {
	for _, s := range steps {
		output, err := d.command(s.args)
		line := strings.Join(s.args, " ")
		switch {
		case err != nil && !s.fails:
			return fmt.Errorf("signet %s: %w", line, err)
		case err == nil && s.fails:
			return fmt.Errorf("signet %s: was not refused", line)
		case !strings.Contains(output, s.reason):
			return fmt.Errorf("signet %s: refused, but not with %q", line, s.reason)
		case s.fails:
			fmt.Println("→ refused, exit status 1")
		}
	}
	return nil
}

// command runs signet with directories of its own and shows what happens.
func (d *demo) command(args []string) (string, error) {
	fmt.Println("$ signet " + strings.ReplaceAll(strings.Join(args, " "), d.dir+string(filepath.Separator), ""))
	cmd := exec.Command(filepath.Join(d.bin, "signet"), args...)
	cmd.Dir = d.dir
	cmd.Env = append(os.Environ(), "NOTATION_CONFIG="+filepath.Join(d.dir, "config"),
		"NOTATION_LIBEXEC="+filepath.Join(d.dir, "config"), "NOTATION_CACHE="+filepath.Join(d.dir, "cache"))
	output, err := cmd.CombinedOutput()
	fmt.Print(strings.ReplaceAll(string(output), d.dir+string(filepath.Separator), ""))
	return string(output), err
}
