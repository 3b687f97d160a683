package metricsapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/weft-mesh/weft/internal/pki"
	"github.com/weft-mesh/weft/pkg/telemetry"
)

// Config of an API. Typed, Dynamic and Traffic are required.
type Config struct {
	Typed   kubernetes.Interface
	Dynamic dynamic.Interface
	// Traffic asks all node proxies what they carried within a window. Those
	// that did not answer are missing; the error names them and does not make
	// the rest worthless.
	Traffic func(ctx context.Context, window time.Duration) ([]telemetry.Traffic, error)
	Log     zerolog.Logger
}

// API answers the requests of the API server. Make it with New. It is an
// http.Handler; serve it with TLS.
type API struct {
	config Config
	front  pki.Cache[front]
}

// New returns an API.
func New(config Config) *API {
	a := &API{config: config}
	a.front.Read = a.readFront
	return a
}

// defaultWindow is what is measured where a request does not say ?t=.
const defaultWindow = 30 * time.Second

// ServeHTTP answers one request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := a.check(r); err != nil {
		a.config.Log.Debug().Err(err).Str("from", r.RemoteAddr).Msg("metrics API: refused")
		fail(w, apierrors.NewUnauthorized(err.Error()))
		return
	}
	version, path, ok := cut(r.URL.Path)
	switch {
	case !ok:
		fail(w, notFound(r.URL.Path))
		return
	case r.Method != http.MethodGet:
		fail(w, apierrors.NewMethodNotSupported(schema.GroupResource{Group: Group, Resource: path}, strings.ToLower(r.Method)))
		return
	case path == "":
		write(w, http.StatusOK, discovery(version))
		return
	}
	q, err := parse(version, path, r)
	if err != nil {
		fail(w, err)
		return
	}
	traffic, err := a.config.Traffic(r.Context(), q.window)
	if err != nil {
		// The client shows it beside what the others said (RFC 7234 §5.5.7).
		w.Header().Set("Warning", `299 weft "not all node proxies answered"`)
		a.config.Log.Warn().Err(err).Msg("metrics API: not all node proxies answered")
	}
	answer, err := q.answer(r.Context(), a.config.Dynamic, traffic)
	if err != nil {
		fail(w, err)
		return
	}
	write(w, http.StatusOK, answer)
}

// cut takes the version off a path of the group.
func cut(path string) (version, rest string, ok bool) {
	rest, ok = strings.CutPrefix(path, "/apis/"+Group+"/")
	if !ok {
		return "", "", false
	}
	version, rest, _ = strings.Cut(strings.TrimSuffix(rest, "/"), "/")
	return version, rest, slices.Contains(Versions(), version)
}

// query is what a request asks for.
type query struct {
	version         string
	kind            resourceKind
	namespace, name string // empty: all
	edges           bool
	selector        string
	window          time.Duration
}

// parse reads a request: RESOURCE, RESOURCE/NAME, namespaces/NS/RESOURCE,
// namespaces/NS/RESOURCE/NAME, and edges behind a name.
func parse(version, path string, r *http.Request) (q query, err error) {
	q = query{version: version, selector: r.URL.Query().Get("labelSelector"), window: defaultWindow}
	if t := r.URL.Query().Get("t"); t != "" {
		if q.window, err = time.ParseDuration(t); err != nil || q.window <= 0 {
			return q, apierrors.NewBadRequest("t=" + t + ": takes a duration such as 30s, up to " + telemetry.LongestWindow.String())
		}
	}
	parts := strings.Split(path, "/")
	if len(parts) > 2 && parts[0] == "namespaces" && parts[2] != "edges" {
		q.namespace, parts = parts[1], parts[2:]
	}
	kind, known := kindOf(parts[0])
	q.kind = kind
	if len(parts) > 1 {
		q.name = parts[1]
	}
	q.edges = len(parts) == 3 && parts[2] == "edges"
	scoped := kind.namespaced || q.namespace == ""
	if !known || !scoped || len(parts) > 3 || len(parts) == 3 && !q.edges || q.name != "" && kind.namespaced && q.namespace == "" {
		return q, notFound(r.URL.Path)
	}
	return q, nil
}

func notFound(path string) error {
	return apierrors.NewGenericServerResponse(http.StatusNotFound, "get", schema.GroupResource{Group: Group}, "", "there is no "+path, 0, false)
}

// discovery lists what there is, so that kubectl and RBAC know it.
func discovery(version string) metav1.APIResourceList {
	list := metav1.APIResourceList{
		TypeMeta:     metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"},
		GroupVersion: Group + "/" + version,
	}
	for _, k := range kinds() {
		for _, name := range []string{k.Resource, k.Resource + "/edges"} {
			list.APIResources = append(list.APIResources, metav1.APIResource{
				Name: name, Namespaced: k.namespaced, Kind: "TrafficMetrics", Verbs: metav1.Verbs{"get", "list"},
			})
		}
	}
	return list
}

// fail answers an error as the API server would: with a Status.
func fail(w http.ResponseWriter, err error) {
	var known apierrors.APIStatus
	if !errors.As(err, &known) {
		known = apierrors.NewInternalError(err)
	}
	status := known.Status()
	status.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	write(w, int(status.Code), status)
}

func write(w http.ResponseWriter, code int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	// The only failure is a client that is gone.
	_ = json.NewEncoder(w).Encode(value)
}
