package noid

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"strings"
)

// ResolveRelative is Resolve for names as people of this host type them: one
// that does not end in a dot may lack its domain. Names that come from elsewhere
// are never completed: who chose them would choose among our hosts. The name
// that answers is the one the Result is about.
func (r *Resolver) ResolveRelative(ctx context.Context, name string, port uint16) (*Result, error) {
	return r.relative(ctx, name, port, false)
}

// BeginRelative is to Begin what ResolveRelative is to Resolve.
func (r *Resolver) BeginRelative(ctx context.Context, name string, port uint16) (*Result, error) {
	return r.relative(ctx, name, port, true)
}

func (r *Resolver) relative(ctx context.Context, name string, port uint16, begin bool) (*Result, error) {
	var failures []error
	for _, n := range r.completions(name) {
		res, err := r.resolve(ctx, n, port, begin)
		if err == nil {
			return res, nil
		}
		failures = append(failures, err)
		if !absent(err) {
			break // who can suppress packets must not choose which of the names it is
		}
	}
	return nil, errors.Join(failures...)
}

// completions returns the names that a relative one may mean, most likely
// first (resolv.conf(5): search, ndots). Unlike libc it completes none that has
// dots enough: that a name does not exist must not make it another's.
func (r *Resolver) completions(name string) []string {
	if _, err := netip.ParseAddr(name); err == nil || strings.HasSuffix(name, ".") || strings.Count(name, ".") >= cmp.Or(r.cfg.Dots, 1) {
		return []string{name}
	}
	if n, err := ParseName(name); err == nil && r.staticSet(n) != nil || errors.Is(err, ErrSpecialUse) {
		return []string{name}
	}
	var out []string
	for _, domain := range r.cfg.Search {
		out = append(out, name+"."+strings.TrimSuffix(domain, "."))
	}
	return append(out, name)
}

// absent reports whether an error says of everything that it does not exist.
func absent(err error) bool {
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range all.Unwrap() {
			if !absent(e) {
				return false
			}
		}
		return true
	}
	return notAbsent(err) == nil
}
