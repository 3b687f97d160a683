// Package explain holds what `weft explain` says against what the data plane
// does: random meshes, random calls over real sockets.
package explain
