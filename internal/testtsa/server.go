package testtsa

import (
	"encoding/asn1"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// Behaviour says how a server answers. The zero value answers well.
type Behaviour struct {
	// Status is the PKIStatus; 2 and more come without a token.
	Status int
	// StatusText and Failure (a PKIFailureInfo bit, -1 for none) go with a status.
	StatusText string
	Failure    int
	// HTTPStatus and ContentType replace 200 and application/timestamp-reply.
	HTTPStatus  int
	ContentType string
	// Nonce and Imprint replace those of the request in the token.
	Nonce   *big.Int
	Imprint *MessageImprint
	// OmitNonce leaves the nonce out, OmitToken the token of a granted request.
	OmitNonce, OmitToken bool
	// Hang waits for the client to go away.
	Hang bool
	// EditReply changes the whole answer.
	EditReply func([]byte) []byte
}

// Request is a TimeStampReq and the HTTP request it came in.
type Request struct {
	TimeStampReq
	Method string
	Header http.Header
}

// TimeStampReq is that of RFC 3161.
type TimeStampReq struct {
	Version int
	Imprint MessageImprint
	Policy  asn1.ObjectIdentifier `asn1:"optional"`
	Nonce   *big.Int              `asn1:"optional"`
	CertReq bool                  `asn1:"optional"`
}

// Server is an authority that listens on loopback until the test ends.
type Server struct {
	// URL is where to post requests.
	URL string
	*Handler
}

// Handler is the http.Handler of an authority.
type Handler struct {
	mu        sync.Mutex
	opts      Options
	behaviour Behaviour
	requests  []Request
}

// NewHandler makes an authority to be served by the caller.
func NewHandler(opts Options, behaviour Behaviour) *Handler {
	return &Handler{opts: opts, behaviour: behaviour}
}

// NewServer starts an authority on loopback.
func NewServer(t testing.TB, opts Options, behaviour Behaviour) *Server {
	t.Helper()
	handler := NewHandler(opts, behaviour)
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return &Server{URL: server.URL, Handler: handler}
}

// Requests returns what the authority was asked so far.
func (h *Handler) Requests() []Request {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]Request(nil), h.requests...)
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<16))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	request := Request{Method: r.Method, Header: r.Header.Clone()}
	if _, err := asn1.Unmarshal(body, &request.TimeStampReq); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	h.mu.Lock()
	h.requests = append(h.requests, request)
	h.mu.Unlock()
	if h.behaviour.Hang {
		<-r.Context().Done()
		return
	}
	reply, err := h.reply(request)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	contentType, status := "application/timestamp-reply", http.StatusOK
	if h.behaviour.ContentType != "" {
		contentType = h.behaviour.ContentType
	}
	if h.behaviour.HTTPStatus != 0 {
		status = h.behaviour.HTTPStatus
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	w.Write(reply)
}

// reply makes the TimeStampResp.
func (h *Handler) reply(request Request) ([]byte, error) {
	b := h.behaviour
	var response struct {
		Status struct {
			Status  int
			Text    []asn1.RawValue `asn1:"optional"`
			Failure asn1.BitString  `asn1:"optional"`
		}
		Token asn1.RawValue `asn1:"optional"`
	}
	response.Status.Status = b.Status
	if b.StatusText != "" {
		response.Status.Text = []asn1.RawValue{{Tag: asn1.TagUTF8String, Bytes: []byte(b.StatusText)}}
	}
	if b.Status > 1 && b.Failure >= 0 {
		bits := make([]byte, 4)
		bits[b.Failure/8] = 0x80 >> (b.Failure % 8)
		response.Status.Failure = asn1.BitString{Bytes: bits[:b.Failure/8+1], BitLength: b.Failure + 1}
	}
	if b.Status <= 1 && !b.OmitToken {
		imprint, nonce := request.Imprint, request.Nonce
		if b.Imprint != nil {
			imprint = *b.Imprint
		}
		if b.Nonce != nil {
			nonce = b.Nonce
		}
		if b.OmitNonce {
			nonce = nil
		}
		token, err := h.opts.token(imprint, nonce)
		if err != nil {
			return nil, err
		}
		response.Token = asn1.RawValue{FullBytes: token}
	}
	reply, err := asn1.Marshal(response)
	if err == nil && b.EditReply != nil {
		reply = b.EditReply(reply)
	}
	return reply, err
}
