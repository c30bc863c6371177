// Package config knows where a host keeps its files, and reads and writes the
// list of signing keys and the settings among them.
package config
