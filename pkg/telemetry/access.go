package telemetry

// Denial says which call is not allowed, and why.
type Denial struct {
	// Mode is enforce or audit.
	Mode string
	// Reason is one of a few words.
	Reason string
	// SourceWorkload, SourceNamespace and SourceAccount are the owner of the
	// calling pod, its namespace and ServiceAccount; empty means unknown.
	SourceWorkload, SourceNamespace, SourceAccount string
	// Service and Namespace are the Service that would have served the call,
	// Account is the ServiceAccount of its endpoints; empty means unknown.
	Service, Namespace, Account string
}

func denialLabels() []string {
	return []string{
		"mode", "reason", "source_workload", "source_workload_namespace", "source_service_account",
		"destination_service", "destination_service_name", "destination_service_namespace", "destination_service_account",
	}
}

// Denied counts a call that is not allowed, whether or not it is refused. Those of
// callers and destinations over the limit of series are counted as other.
func (p *Proxy) Denied(d Denial) {
	if p == nil {
		return
	}
	p.denying.Lock()
	defer p.denying.Unlock()
	counter := p.denied[d]
	if counter == nil && len(p.denied) >= p.most {
		d = d.others()
		counter = p.denied[d]
	}
	if counter == nil {
		counter = p.denials.WithLabelValues(
			d.Mode, d.Reason, orUnknown(d.SourceWorkload), orUnknown(d.SourceNamespace), orUnknown(d.SourceAccount),
			d.Service+"."+d.Namespace, d.Service, d.Namespace, orUnknown(d.Account),
		)
		p.denied[d] = counter
	}
	counter.Inc()
}

// others is the Denial that counts what is over the limit; there are as many as
// modes and reasons.
func (d Denial) others() Denial {
	return Denial{
		Mode: d.Mode, Reason: d.Reason, SourceWorkload: other, SourceNamespace: other, SourceAccount: other,
		Service: other, Namespace: other, Account: other,
	}
}
