// Package smi shows Weft's SMI objects on a real API server: what clients write
// they read back, canary tools move traffic, guards stand.
package smi
