// Package coredns holds the tests of mesh names on the real CoreDNS: a Corefile
// patched by pkg/dnspatch, and a real API server behind its kubernetes plugin.
package coredns
