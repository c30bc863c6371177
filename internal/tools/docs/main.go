// Command docs writes the pages on the command line: docs/cli/*.md and the manual
// pages docs/man/*.1. They are made of the help texts alone, so that the same
// program gives the same pages.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"

	"github.com/signet-project/signet/internal/cli"
)

func main() {
	dir := flag.String("out", "docs", "directory in which cli and man are replaced")
	flag.Parse()
	if err := write(*dir); err != nil {
		fmt.Fprintln(os.Stderr, "docs:", err)
		os.Exit(1)
	}
}

// write replaces the pages in dir.
func write(dir string) error {
	pages, err := generate()
	if err != nil {
		return err
	}
	for _, part := range []string{"cli", "man"} {
		if err := os.RemoveAll(filepath.Join(dir, part)); err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Join(dir, part), 0o755); err != nil {
			return err
		}
	}
	for name, page := range pages {
		if err := os.WriteFile(filepath.Join(dir, filepath.FromSlash(name)), page, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// generate makes the pages, by their paths below the directory.
func generate() (map[string][]byte, error) {
	pages := map[string][]byte{}
	err := eachPage(commands(), func(cmd *cobra.Command, name string) error {
		var page bytes.Buffer
		err := doc.GenMarkdownCustom(cmd, &page, func(file string) string { return strings.ReplaceAll(file, "_", "-") })
		pages["cli/"+name+".md"] = tidy(page.Bytes())
		return err
	})
	if err != nil {
		return nil, err
	}
	// A tree of its own: manual pages are made by way of Markdown, in which what
	// stands between angle brackets would get lost.
	return pages, eachPage(commands(), func(cmd *cobra.Command, name string) error {
		escape(cmd)
		var page bytes.Buffer
		header := &doc.GenManHeader{Title: strings.ToUpper(name), Section: "1", Source: "signet", Manual: "signet manual", Date: &time.Time{}}
		err := doc.GenMan(cmd, header, &page)
		pages["man/"+name+".1"] = tidy(undated.ReplaceAll(page.Bytes(), []byte(`$1""`)))
		return err
	})
}

// commands is the tree of commands of somebody who has configured nothing.
func commands() *cobra.Command {
	root := cli.Command(cli.Env{
		Args: []string{"signet"}, Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: io.Discard,
		Environ: []string{"NOTATION_CONFIG=~/.config/notation"},
	})
	root.DisableAutoGenTag = true
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	return root
}

// eachPage visits a command and those below it, with the names of their pages.
func eachPage(cmd *cobra.Command, visit func(cmd *cobra.Command, name string) error) error {
	if err := visit(cmd, strings.ReplaceAll(cmd.CommandPath(), " ", "-")); err != nil {
		return err
	}
	for _, child := range cmd.Commands() {
		if child.IsAvailableCommand() && !child.IsAdditionalHelpTopicCommand() {
			if err := eachPage(child, visit); err != nil {
				return err
			}
		}
	}
	return nil
}

// escape keeps angle brackets from being taken for HTML.
func escape(cmd *cobra.Command) {
	brackets := func(text string) string {
		return line.ReplaceAllStringFunc(text, func(l string) string { return strings.ReplaceAll(l, "<", `\<`) })
	}
	cmd.Use, cmd.Short, cmd.Long = brackets(cmd.Use), brackets(cmd.Short), brackets(cmd.Long)
	cmd.Flags().VisitAll(func(flag *pflag.Flag) { flag.Usage = brackets(flag.Usage) })
}

// line is one that is not indented, as code is.
var line = regexp.MustCompile(`(?m)^[^\t\n].*$`)

// undated finds the date in the title of a manual page.
var undated = regexp.MustCompile(`(?m)^(\.TH "[^"]*" "1" )"[^"]*"`)

var trailing = regexp.MustCompile(`(?m)[ \t]+$`)

// tidy drops what nobody sees.
func tidy(page []byte) []byte {
	return append(bytes.TrimSpace(trailing.ReplaceAll(page, nil)), '\n')
}
