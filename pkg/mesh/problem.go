package mesh

import (
	"cmp"
	"slices"
)

// Problem is what is wrong with one object, told to its author: as an Event on
// the object, in /api/problems and in `weft check`.
type Problem struct {
	Object Ref `json:"object"`
	// Reason is a stable word in CamelCase, such as BackendNotFound.
	Reason string `json:"reason"`
	// Message says what is wrong and what happens meanwhile, in one sentence.
	Message string `json:"message"`
}

// The reasons of the problems that Build finds itself; docs/problems.md is for users.
const (
	BadAnnotation       = "BadAnnotation"       // an annotation has a value that it does not take
	BackendNotFound     = "BackendNotFound"     // a split names a Service that does not exist
	BackendPortMissing  = "BackendPortMissing"  // a split's backend lacks a port of the root
	BackendNoEndpoints  = "BackendNoEndpoints"  // a split's backend with a weight has nothing to serve it
	RootNotFound        = "RootNotFound"        // a split's root Service does not exist
	RootForeign         = "RootForeign"         // a split's root lies in another namespace
	SplitConflict       = "SplitConflict"       // an older split stands on the same root
	SplitEmpty          = "SplitEmpty"          // no backend of a split can be used
	AllWeightsZero      = "AllWeightsZero"      // every backend of a split has weight 0
	MatchesNotApplied   = "MatchesNotApplied"   // a split has matches, but its root no port that is HTTP
	MatchNotFound       = "MatchNotFound"       // a rule names a match that its HTTPRouteGroup lacks
	MatchTwice          = "MatchTwice"          // two matches of an HTTPRouteGroup share a name
	BadExpression       = "BadExpression"       // an expression of an HTTPRouteGroup is malformed or too large
	GroupTooLarge       = "GroupTooLarge"       // an HTTPRouteGroup has too many matches
	RuleNotFound        = "RuleNotFound"        // a rule or a split names a route that does not exist
	TargetEmpty         = "TargetEmpty"         // a TrafficTarget has no rule or no source
	UnknownKind         = "UnknownKind"         // a TrafficTarget names a kind that has no meaning there
	DestinationForeign  = "DestinationForeign"  // a TrafficTarget's destination lies in another namespace
	SourceIncomplete    = "SourceIncomplete"    // a subject of a TrafficTarget lacks its name or namespace
	SubjectNotFound     = "SubjectNotFound"     // a TrafficTarget names an IdentityBinding that does not exist
	GuardWithoutAccess  = "GuardWithoutAccess"  // a namespace is to be guarded in which access is not enforced
	CAUnreadable        = "CAUnreadable"        // the CA that endpoints are verified by cannot be read
	SchemeNotApplied    = "SchemeNotApplied"    // TLS is asked for on a port that is not HTTP
	UnsupportedProtocol = "UnsupportedProtocol" // a port speaks neither TCP nor UDP
	EndpointForbidden   = "EndpointForbidden"   // an endpoint is where no call may go: the mesh itself, or a loopback
	Malformed           = "Malformed"           // an object that cannot be decoded
)

func (p Problem) compare(o Problem) int {
	return cmp.Or(p.Object.compare(o.Object), cmp.Compare(p.Reason, o.Reason), cmp.Compare(p.Message, o.Message))
}

// SortProblems sorts problems in place, by object, and returns them without
// those that are told twice.
func SortProblems(problems []Problem) []Problem {
	slices.SortFunc(problems, Problem.compare)
	return slices.Compact(problems)
}
