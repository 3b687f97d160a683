// Package policy is what the traffic policies of a Service mean, free of I/O:
// which outcome of a try is worth another, how many retries there may be, when
// a circuit is open, who has called too often, and which endpoint is not fit to
// be called. Time is an argument where it matters.
//
//	conditions, err := policy.ParseRetryOn([]string{"5xx", "unavailable"})
//	conditions.Match(policy.Outcome{Kind: policy.Answered, Status: 503})
//
// What is counted lives in values of this package, which outlive the Tables of
// package route; package upstream keeps them.
package policy
