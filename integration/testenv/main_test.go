package testenv_test

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain lets no goroutine outlive the tests: neither a program's nor the
// forwarder's.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
