// Package wire is HTTP/1.1 as bytes, free of I/O (RFC 9112): heads and bodies
// come in as they were read, and go out as a proxy forwards them.
//
//	n, err := request.Parse(buffer)      // 0: the head is not complete yet
//	out = request.Append(out, forward)   // the head for the endpoint
//	body := request.Body()
//	for !body.Done() {
//		step, err := body.Scan(buffer[n:])  // what passes, is skipped, is put in
//	}
//
// A head is parsed once and in place: what is not edited is copied once, to
// where it is sent from. Nothing is allocated. What is malformed, or what two
// parsers could read in two ways, is an error and never forwarded: one message,
// one meaning (RFC 9112 §2.2, §6.3, §11).
package wire
