package upstream

import (
	"testing"
	"time"

	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/policy"
)

// gRPC uses POST for everything: only a code that its author has named says
// that a call may be made again, not a status of HTTP.
func TestAGRPCCallIsMadeAgainForACodeThatIsNamedOnly(t *testing.T) {
	p := newPolicies(&mesh.Policy{
		RetryAttempts: 3, RetryOn: []string{"gateway-error", "5xx", "unavailable"}, RetryBackoff: time.Millisecond,
		RetryBudget: 100, RetryBudgetMin: 100,
	}, nil)
	for o, want := range map[policy.Outcome]bool{
		{Kind: policy.Answered, Status: 503, GRPC: -1}: false,
		{Kind: policy.Answered, Status: 503, GRPC: 8}:  false,
		{Kind: policy.Answered, Status: 200, GRPC: 14}: true,
		{Kind: policy.Answered, Status: 503, GRPC: 14}: true,
	} {
		now := time.Now()
		call, _ := p.Begin(now, Request{GRPC: true})
		call.Try(now)
		if _, again := call.Again(now, o); again != want {
			t.Errorf("%+v: again %v; want %v", o, again, want)
		}
		call.End(now, 0)
	}
}
