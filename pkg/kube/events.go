package kube

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/weft-mesh/weft/pkg/mesh"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

const (
	component = "weft" // the source of Weft's Events
	// eventTimeout bounds one call, so that one slow answer does not hold up all.
	eventTimeout = 5 * time.Second
	longestNote  = 1024 // bytes that the API takes as an Event's message
	longestName  = 253  // bytes of an object's name
)

// Events tells problems to the authors of objects, as Warnings on the objects.
// Its right to create, get and update events is all it needs. It is not for
// concurrent use.
type Events struct {
	client kubernetes.Interface
	log    zerolog.Logger
	told   map[mesh.Problem]bool
}

// NewEvents returns Events that have told nothing yet.
func NewEvents(client kubernetes.Interface, log zerolog.Logger) *Events {
	return &Events{client: client, log: log, told: map[mesh.Problem]bool{}}
}

// Tell takes all problems that stand now and writes an Event for each that is
// new: not again while it stands, again when it comes back. A problem that
// comes back, or that an earlier process told, counts up the Event it has, so
// that neither a restart nor an object that wavers floods the namespace.
// Problems of files have no object to tell them on.
//
// An Event that the API server refuses is logged and not tried again. When the
// API server cannot be reached Tell gives up until it is called again; call it
// from time to time, problems or not.
func (e *Events) Tell(ctx context.Context, problems []mesh.Problem) {
	told := make(map[mesh.Problem]bool, len(problems))
	reachable := true
	for _, p := range problems {
		if p.Object.Kind == FileKind || told[p] {
			continue
		}
		if !e.told[p] {
			if !reachable {
				continue
			}
			err := e.write(ctx, p)
			if reachable = err == nil || refused(err); !reachable {
				e.log.Warn().Err(err).Msg("problems cannot be told; the API server does not answer")
				continue
			}
			if err != nil {
				e.log.Warn().Err(err).Stringer("object", p.Object).Str("problem", p.Message).Msg("the problem's Event is refused")
			}
		}
		told[p] = true
	}
	e.told = told
}

// refused tells an answer of the API server that will be the same next time
// from one that need not be.
func refused(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && !apierrors.IsServerTimeout(err) && !apierrors.IsTimeout(err) &&
		!apierrors.IsTooManyRequests(err) && !apierrors.IsServiceUnavailable(err) &&
		!apierrors.IsInternalError(err) && !apierrors.IsConflict(err)
}

// write creates the problem's Event, or counts it up where it stands.
func (e *Events) write(ctx context.Context, p mesh.Problem) error {
	ctx, cancel := context.WithTimeout(ctx, eventTimeout)
	defer cancel()
	event := eventOf(p, time.Now())
	events := e.client.CoreV1().Events(event.Namespace)
	_, err := events.Create(ctx, event, metav1.CreateOptions{})
	if !apierrors.IsAlreadyExists(err) {
		return err
	}
	standing, err := events.Get(ctx, event.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	standing.Count++
	standing.LastTimestamp = event.LastTimestamp
	_, err = events.Update(ctx, standing, metav1.UpdateOptions{})
	return err
}

// eventOf is the Event of a problem. Its name is the object's with a hash of
// the problem, so that the same problem has the same Event. That of an object
// without a namespace is in "default", as everybody's are.
func eventOf(p mesh.Problem, now time.Time) *corev1.Event {
	hash := fnv.New64a()
	fmt.Fprintf(hash, "%q", []string{p.Object.APIVersion, p.Object.Kind, p.Object.UID, p.Reason, p.Message})
	suffix := fmt.Sprintf(".%016x", hash.Sum64())
	name := p.Object.Name
	name = name[:min(len(name), longestName-len(suffix))]
	return &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: cmp.Or(p.Object.Namespace, metav1.NamespaceDefault), Name: strings.TrimRight(name, ".-") + suffix,
		},
		InvolvedObject: corev1.ObjectReference{
			APIVersion: p.Object.APIVersion, Kind: p.Object.Kind,
			Namespace: p.Object.Namespace, Name: p.Object.Name, UID: types.UID(p.Object.UID),
		},
		Type: corev1.EventTypeWarning, Reason: p.Reason, Message: note(p.Message),
		Source:              corev1.EventSource{Component: component},
		ReportingController: component,
		FirstTimestamp:      metav1.NewTime(now), LastTimestamp: metav1.NewTime(now), Count: 1,
	}
}

// note cuts a message to what the API takes, between characters.
func note(message string) string {
	if len(message) <= longestNote {
		return message
	}
	return strings.ToValidUTF8(message[:longestNote], "")
}
