// Package mesh is the vocabulary of Weft and the one pure function that turns
// what its sources see into what its proxies do:
//
//	m := mesh.Build(&inputs)
//
// Inputs hold the trimmed objects of a cluster (or of YAML files); they are
// owned and edited by one goroutine (package control). A Mesh is the whole
// typed picture built from them: sorted, complete, sharing no memory with the
// Inputs, and never edited afterwards. What is wrong with an object becomes a
// Problem beside it and never stops a build: the rest is served.
//
// The package imports the standard library only, so that everything behind it
// can be tested with literals.
package mesh
