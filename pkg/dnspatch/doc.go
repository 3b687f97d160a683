// Package dnspatch edits a CoreDNS Corefile so that mesh names resolve, and
// takes the edit back. It is text in and text out: no file, no network.
//
// CoreDNS already answers orders.shop.weft.svc.cluster.local from the Services
// that the mesh writes. What it lacks is the step from orders.shop.mesh to that
// name, which is a rewrite rule in the server block that serves the root zone
// with the kubernetes plugin (a server block of its own would need a second
// kubernetes plugin, with its own watches and memory):
//
//	.:53 {
//	    # weft begin (mesh names; managed, do not edit; "weft uninstall" removes it)
//	    rewrite continue ttl suffix .mesh 5
//	    rewrite name suffix .mesh .weft.svc.cluster.local answer auto
//	    # weft end
//	    errors
//	    kubernetes cluster.local in-addr.arpa ip6.arpa
//	    ...
//	}
//
// The rule stands first, so that no other rewrite rule of the block shadows it.
//
// What holds for every Corefile without marks of ours, whatever its line ends,
// indentation and last byte: Apply twice is Apply once; Remove after Apply
// gives the Corefile back byte for byte; no byte outside the marks changes. A
// marked block that somebody edited or doubled is put right by the next Apply.
// A mark that lost its other half is an error, because where the block ends is
// then a guess.
//
// The reader follows the lexer and parser of CoreDNS (github.com/coredns/caddy,
// package caddyfile) where their behaviour is more than the manual says.
package dnspatch
