// Package enforcer keeps the node's packet filter in step with NetworkPolicies that deny by default,
// because the plain CNI plugins of the local cluster enforce none.
//
// It fails closed: an address of the Pod range is cut off until its Pod is known and found open, and a
// policy with rules it cannot express counts as a denial.
package enforcer

import (
	"fmt"
	"net/netip"
	"sort"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// The chains live in the mangle table: it is passed before the filter table, so no rule of kube-proxy or
// of the machine can accept a packet first, and no order among chains has to be kept.
const (
	table     = "mangle"
	chain     = "REEVE-POLICY"
	chainFrom = "REEVE-FROM"
	chainTo   = "REEVE-TO"
)

// access says which directions of a Pod are open.
type access struct{ ingress, egress bool }

// and keeps only what both leave open.
func (a access) and(b access) access {
	return access{ingress: a.ingress && b.ingress, egress: a.egress && b.egress}
}

// sandbox is an address the CNI plugin has handed out, known before the API server hears of it.
type sandbox struct {
	namespace, name, uid string
	address              netip.Addr
}

// decide gives the directions of a Pod that the policies of its namespace leave open, and the names of those
// whose rules are more than "nothing" or "everything", each read as "nothing".
func decide(pod *corev1.Pod, policies []*networkingv1.NetworkPolicy) (access, []string) {
	var selected, opened access
	var unsupported []string
	for _, policy := range policies {
		if policy.Namespace != pod.Namespace || !selects(&policy.Spec.PodSelector, pod.Labels) {
			continue
		}
		ingress, egress := directions(policy)
		partial := false
		if ingress {
			selected.ingress = true
			for _, rule := range policy.Spec.Ingress {
				all := len(rule.From) == 0 && len(rule.Ports) == 0
				opened.ingress = opened.ingress || all
				partial = partial || !all
			}
		}
		if egress {
			selected.egress = true
			for _, rule := range policy.Spec.Egress {
				all := len(rule.To) == 0 && len(rule.Ports) == 0
				opened.egress = opened.egress || all
				partial = partial || !all
			}
		}
		if partial {
			unsupported = append(unsupported, policy.Namespace+"/"+policy.Name)
		}
	}
	return access{
		ingress: !selected.ingress || opened.ingress,
		egress:  !selected.egress || opened.egress,
	}, unsupported
}

// selects reads a selector that does not parse as one that selects everything.
func selects(selector *metav1.LabelSelector, of map[string]string) bool {
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	return err != nil || parsed.Matches(labels.Set(of))
}

// directions follows the API's default: ingress always, egress where the policy has egress rules.
func directions(policy *networkingv1.NetworkPolicy) (ingress, egress bool) {
	if len(policy.Spec.PolicyTypes) == 0 {
		return true, len(policy.Spec.Egress) > 0
	}
	for _, kind := range policy.Spec.PolicyTypes {
		ingress = ingress || kind == networkingv1.PolicyTypeIngress
		egress = egress || kind == networkingv1.PolicyTypeEgress
	}
	return ingress, egress
}

// addresses maps each known Pod address within the range to what is open for it. An address that two Pods
// claim gets only what both have; one whose sandbox belongs to no known Pod is left out, so closed.
func addresses(cidr netip.Prefix, pods []*corev1.Pod, policies []*networkingv1.NetworkPolicy,
	sandboxes []sandbox) (map[netip.Addr]access, []string) {
	open := map[netip.Addr]access{}
	byName := map[string]*corev1.Pod{}
	refused := map[string]bool{}
	claim := func(address netip.Addr, pod *corev1.Pod) {
		if !cidr.Contains(address) {
			return
		}
		got, unsupported := decide(pod, policies)
		for _, name := range unsupported {
			refused[name] = true
		}
		if before, taken := open[address]; taken {
			got = got.and(before)
		}
		open[address] = got
	}
	for _, pod := range pods {
		byName[pod.Namespace+"/"+pod.Name] = pod
		if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
			continue
		}
		for _, ip := range pod.Status.PodIPs {
			if address, err := netip.ParseAddr(ip.IP); err == nil {
				claim(address, pod)
			}
		}
	}
	for _, box := range sandboxes {
		pod := byName[box.namespace+"/"+box.name]
		if pod == nil || (box.uid != "" && box.uid != string(pod.UID)) {
			if cidr.Contains(box.address) {
				open[box.address] = access{}
			}
			continue
		}
		claim(box.address, pod)
	}
	names := make([]string, 0, len(refused))
	for name := range refused {
		names = append(names, name)
	}
	sort.Strings(names)
	return open, names
}

// rules writes the three chains as one input of `iptables-restore --noflush`, which applies it whole or not at all.
//
// A Pod closed one way still gets the replies of what it may begin. One closed both ways gets nothing, not even
// of a connection older than the policy.
func rules(cidr netip.Prefix, open map[netip.Addr]access) string {
	sorted := make([]netip.Addr, 0, len(open))
	for address := range open {
		sorted = append(sorted, address)
	}
	sort.Slice(sorted, func(i, j int) bool { return sorted[i].Less(sorted[j]) })

	var out strings.Builder
	fmt.Fprintf(&out, "*%s\n", table)
	for _, name := range []string{chain, chainFrom, chainTo} {
		fmt.Fprintf(&out, ":%s - [0:0]\n", name)
	}
	// The node's ends of Pods' links have an address of the range too; what the node hears from an open Pod is its own affair.
	fmt.Fprintf(&out, "-A %s -i lo -j RETURN\n", chain)
	fmt.Fprintf(&out, "-A %s -s %s -j %s\n", chain, cidr, chainFrom)
	fmt.Fprintf(&out, "-A %s -d %s -m addrtype ! --dst-type LOCAL -j %s\n", chain, cidr, chainTo)
	const replies = " -m conntrack --ctstate RELATED,ESTABLISHED --ctdir REPLY"
	for _, address := range sorted {
		may := open[address]
		if from, any := pass(may.egress, may.ingress, replies); any {
			fmt.Fprintf(&out, "-A %s -s %s/32%s -j RETURN\n", chainFrom, address, from)
		}
		if to, any := pass(may.ingress, may.egress, replies); any {
			fmt.Fprintf(&out, "-A %s -d %s/32%s -j RETURN\n", chainTo, address, to)
		}
	}
	fmt.Fprintf(&out, "-A %s -j DROP\n-A %s -j DROP\nCOMMIT\n", chainFrom, chainTo)
	return out.String()
}

// pass gives the extra match under which packets of one direction may go on, and whether any may.
func pass(this, other bool, replies string) (string, bool) {
	switch {
	case this:
		return "", true
	case other:
		return replies, true
	default:
		return "", false
	}
}
