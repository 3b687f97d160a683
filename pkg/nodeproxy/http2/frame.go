package http2

import "encoding/binary"

// The frame types of RFC 9113 §6.
const (
	frameData         = 0x0
	frameHeaders      = 0x1
	framePriority     = 0x2
	frameReset        = 0x3
	frameSettings     = 0x4
	framePushPromise  = 0x5
	framePing         = 0x6
	frameGoAway       = 0x7
	frameWindowUpdate = 0x8
	frameContinuation = 0x9
)

// The flags.
const (
	flagEndStream  = 0x1
	flagAck        = 0x1
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20
)

// The settings (RFC 9113 §6.5.2).
const (
	settingTableSize     = 0x1
	settingEnablePush    = 0x2
	settingMaxStreams    = 0x3
	settingInitialWindow = 0x4
	settingMaxFrame      = 0x5
	settingMaxHeaderList = 0x6
)

// The error codes (RFC 9113 §7). As an error, a code ends its connection.
const (
	noError          errorCode = 0x0
	protocolError    errorCode = 0x1
	internalError    errorCode = 0x2
	flowControlError errorCode = 0x3
	streamClosed     errorCode = 0x5
	frameSizeError   errorCode = 0x6
	refusedStream    errorCode = 0x7
	cancelled        errorCode = 0x8
	compressionError errorCode = 0x9
	enhanceYourCalm  errorCode = 0xb
)

// Sizes and bounds of the protocol.
const (
	preface           = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	frameHeaderBytes  = 9
	maxFrameBytes     = 16 << 10 // what both sides may always send
	settingBytes      = 6
	priorityBytes     = 5
	windowUpdateBytes = 4
	resetBytes        = 4
	goAwayBytes       = 8
	pingBytes         = 8
	defaultWindow     = 1<<16 - 1
	largestWindow     = 1<<31 - 1
	highestStream     = 1<<31 - 1
)

// errorCode is a code of HTTP/2.
type errorCode uint32

// Error names the code.
func (e errorCode) Error() string {
	names := [...]string{
		"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED", "FRAME_SIZE_ERROR",
		"REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
	}
	if int(e) < len(names) {
		return "HTTP/2 " + names[e]
	}
	return "HTTP/2 unknown error"
}

// frame is a frame that was read.
type frame struct {
	kind, flags uint8
	stream      uint32
	payload     []byte
}

func (f *frame) has(flag uint8) bool { return f.flags&flag != 0 }

// parseFrame reads the frame that begins b; not whole is false. The length of a
// frame is judged before its payload is there.
func parseFrame(b []byte) (f frame, whole bool, err error) {
	if len(b) < frameHeaderBytes {
		return frame{}, false, nil
	}
	length := int(b[0])<<16 | int(b[1])<<8 | int(b[2])
	if length > maxFrameBytes {
		return frame{}, false, frameSizeError
	}
	if len(b) < frameHeaderBytes+length {
		return frame{}, false, nil
	}
	f = frame{kind: b[3], flags: b[4], stream: binary.BigEndian.Uint32(b[5:]) & highestStream}
	f.payload = b[frameHeaderBytes : frameHeaderBytes+length]
	return f, true, nil
}

// unpad takes the padding off (RFC 9113 §6.1).
func (f *frame) unpad() error {
	if !f.has(flagPadded) {
		return nil
	}
	if len(f.payload) == 0 {
		return frameSizeError
	}
	padding := int(f.payload[0])
	if padding >= len(f.payload) {
		return protocolError
	}
	f.payload = f.payload[1 : len(f.payload)-padding]
	return nil
}

func appendFrameHeader(b []byte, length int, kind, flags uint8, stream uint32) []byte {
	return append(b, byte(length>>16), byte(length>>8), byte(length), kind, flags,
		byte(stream>>24), byte(stream>>16), byte(stream>>8), byte(stream))
}

// appendBlock writes HEADERS, with CONTINUATION where one frame does not do.
func appendBlock(b []byte, stream uint32, block []byte, end bool) []byte {
	flags := uint8(0)
	if end {
		flags = flagEndStream
	}
	kind := uint8(frameHeaders)
	for {
		n := min(len(block), maxFrameBytes)
		if n == len(block) {
			flags |= flagEndHeaders
		}
		b = appendFrameHeader(b, n, kind, flags, stream)
		b = append(b, block[:n]...)
		if block = block[n:]; flags&flagEndHeaders != 0 {
			return b
		}
		kind, flags = frameContinuation, 0
	}
}

func appendReset(b []byte, stream uint32, code errorCode) []byte {
	b = appendFrameHeader(b, resetBytes, frameReset, 0, stream)
	return binary.BigEndian.AppendUint32(b, uint32(code))
}

func appendWindowUpdate(b []byte, stream uint32, n int) []byte {
	b = appendFrameHeader(b, windowUpdateBytes, frameWindowUpdate, 0, stream)
	return binary.BigEndian.AppendUint32(b, uint32(n))
}

func appendGoAway(b []byte, last uint32, code errorCode) []byte {
	b = appendFrameHeader(b, goAwayBytes, frameGoAway, 0, 0)
	b = binary.BigEndian.AppendUint32(b, last)
	return binary.BigEndian.AppendUint32(b, uint32(code))
}

// setting is one of a SETTINGS frame.
type setting struct {
	id    uint16
	value uint32
}

func appendSettings(b []byte, settings ...setting) []byte {
	b = appendFrameHeader(b, settingBytes*len(settings), frameSettings, 0, 0)
	for _, s := range settings {
		b = binary.BigEndian.AppendUint16(b, s.id)
		b = binary.BigEndian.AppendUint32(b, s.value)
	}
	return b
}
