package main

import (
	"bufio"
	"bytes"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// key is a benchmark's name apart from its contender: "Verify" and "P-256/jws/3certs".
type key struct{ bench, of string }

// results hold the values that a metric of a contender took, run by run.
type results map[key]map[string]map[string][]float64 // contender → unit → values

// benchLine is a result's. Go numbers benchmarks of the same name: "/of=sign#01-2".
var benchLine = regexp.MustCompile(`^Benchmark(\w+)(/\S+?)?(?:#\d+)?(?:-\d+)?\s+\d+\s+(.*)$`)

// parse reads what go test -bench printed. machine is the processor's name.
func parse(output []byte) (all results, machine string) {
	all, machine = results{}, "an unnamed processor"
	lines := bufio.NewScanner(bytes.NewReader(output))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if cpu, ok := strings.CutPrefix(lines.Text(), "cpu: "); ok {
			machine = cpu
		}
		match := benchLine.FindStringSubmatch(lines.Text())
		if match == nil {
			continue
		}
		of, by := contender(strings.TrimPrefix(match[2], "/"))
		k := key{match[1], of}
		if all[k] == nil {
			all[k] = map[string]map[string][]float64{}
		}
		if all[k][by] == nil {
			all[k][by] = map[string][]float64{}
		}
		fields := strings.Fields(match[3])
		for i := 0; i+1 < len(fields); i += 2 {
			if value, err := strconv.ParseFloat(fields[i], 64); err == nil {
				all[k][by][fields[i+1]] = append(all[k][by][fields[i+1]], value)
			}
		}
	}
	return all, machine
}

// contender takes the contender out of a benchmark's name below the first slash:
// "by=signet/artifacts=1000", or "signet/P-256/jws/3certs" with nothing but values.
func contender(name string) (of, by string) {
	parts := strings.Split(name, "/")
	i := slices.IndexFunc(parts, func(part string) bool { return strings.HasPrefix(part, "by=") })
	if i < 0 && !strings.Contains(name, "=") {
		i = 0
	}
	if i < 0 {
		return name, ""
	}
	by = strings.TrimPrefix(parts[i], "by=")
	return strings.Join(slices.Delete(parts, i, i+1), "/"), by
}

// value returns a metric of a contender; false when there is none.
func (r results) value(k key, by, unit string, pick func(sorted []float64) float64) (float64, bool) {
	values := slices.Sorted(slices.Values(r[k][by][unit]))
	if len(values) == 0 {
		return 0, false
	}
	return pick(values), true
}

// median is the middle of the values, as benchstat has it.
func median(sorted []float64) float64 {
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// least suits what does nothing but compute: whatever else happens on the machine can
// only add to it.
func least(sorted []float64) float64 { return sorted[0] }

// keys lists what there is of a benchmark, in order.
func (r results) keys(bench string) []key {
	var list []key
	for k := range maps.Keys(r) {
		if k.bench == bench {
			list = append(list, k)
		}
	}
	slices.SortFunc(list, func(a, b key) int { return naturally(a.of, b.of) })
	return list
}

// naturally compares texts with the numbers in them taken as numbers.
func naturally(a, b string) int {
	for a != "" && b != "" {
		na, ra := number(a)
		nb, rb := number(b)
		switch {
		case ra != a && rb != b:
			if na != nb {
				return na - nb
			}
			a, b = ra, rb
		case a[0] != b[0]:
			return int(a[0]) - int(b[0])
		default:
			a, b = a[1:], b[1:]
		}
	}
	return len(a) - len(b)
}

// number cuts a number from the beginning of a text.
func number(text string) (value int, rest string) {
	rest = strings.TrimLeft(text, "0123456789")
	value, _ = strconv.Atoi(text[:len(text)-len(rest)])
	return value, rest
}
