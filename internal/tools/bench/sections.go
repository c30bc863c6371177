package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// section is one table: the benchmarks that it takes and how they are shown.
type section struct {
	name, title string
	module      string // folder of the Go module
	packages    []string
	bench       string // its name, less "Benchmark"
	benchtime   string
	times       int  // how often a round runs each benchmark; 0 means once
	once        bool // takes long: run once, whatever -count says
	least       bool // shows the least of the values, not their median
	note        string
	ratios      []ratio
	// columns are shown as figures.
	columns []column
}

// ratio compares two contenders: over's metric by under's.
type ratio struct {
	title       string
	over, under string
	unit        string
	// goal is the least that is wanted, or with most the most; nil or 0 for none. It
	// may depend on the row.
	goal func(of string) float64
	most bool
	// minus makes it the difference of two times, in milliseconds.
	minus bool
}

// column shows one metric of one contender.
type column struct{ by, unit, title string }

func always(goal float64) func(string) float64 { return func(string) float64 { return goal } }

// command is one round of the section's benchmarks, as arguments of go.
func (s section) command() []string {
	args := []string{"-C", s.module, "test", "-run", "^$", "-bench", "^Benchmark" + s.bench + "$", "-benchmem", "-timeout", "2h", "-count", strconv.Itoa(max(1, s.times))}
	if s.benchtime != "" {
		args = append(args, "-benchtime", s.benchtime)
	}
	return append(args, s.packages...)
}

// render writes the section, if there are results for it.
func (s section) render(w io.Writer, all results) {
	keys := all.keys(s.bench)
	if len(keys) == 0 {
		return
	}
	fmt.Fprintf(w, "\n### %s\n\n", s.title)
	if s.note != "" {
		fmt.Fprintf(w, "%s\n\n", s.note)
	}
	pick := median
	if s.least {
		pick = least
	}
	var head, line strings.Builder
	head.WriteString("|what")
	line.WriteString("|-")
	for _, r := range s.ratios {
		fmt.Fprintf(&head, "|%s", r.title)
		line.WriteString("|-")
	}
	for _, c := range s.columns {
		fmt.Fprintf(&head, "|%s", c.title)
		line.WriteString("|-")
	}
	fmt.Fprintf(w, "%s|\n%s|\n", head.String(), line.String())
	for _, k := range keys {
		fmt.Fprintf(w, "|%s", strings.ReplaceAll(k.of, "/", ", "))
		for _, r := range s.ratios {
			fmt.Fprintf(w, "|%s", r.show(all, k, pick))
		}
		for _, c := range s.columns {
			fmt.Fprintf(w, "|%s", c.show(all, k, pick))
		}
		fmt.Fprintln(w, "|")
	}
}

// show renders the ratio with its goal, in bold where it is missed.
func (r ratio) show(all results, k key, pick func([]float64) float64) string {
	over, ok := all.value(k, r.over, r.unit, pick)
	under, also := all.value(k, r.under, r.unit, pick)
	if !ok || !also || under == 0 {
		return ""
	}
	value, unit := over/under, ""
	if r.minus {
		value, unit = (over-under)/1e6, " ms"
	}
	text, goal := fmt.Sprintf("%.2f%s", value, unit), 0.0
	if r.goal != nil {
		goal = r.goal(k.of)
	}
	if goal == 0 {
		return text
	}
	sign, missed := "≥", value < goal
	if r.most {
		sign, missed = "≤", value > goal
	}
	if missed {
		text = "**" + text + "**"
	}
	return fmt.Sprintf("%s (%s %g%s)", text, sign, goal, unit)
}

func (c column) show(all results, k key, pick func([]float64) float64) string {
	value, ok := all.value(k, c.by, c.unit, pick)
	switch {
	case !ok:
		return ""
	case c.unit == "ns/op" && value >= 1e9:
		return fmt.Sprintf("%.2f s", value/1e9)
	case c.unit == "ns/op" && value >= 1e6:
		return fmt.Sprintf("%.2f ms", value/1e6)
	case c.unit == "ns/op":
		return fmt.Sprintf("%.1f µs", value/1e3)
	}
	return fmt.Sprintf("%.4g", value)
}
