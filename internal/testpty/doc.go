// Package testpty opens pseudo terminals for tests.
package testpty
