// Package telemetry is how Weft counts what it does, as Prometheus metrics. It
// knows no other package of Weft, so that any may count.
package telemetry
