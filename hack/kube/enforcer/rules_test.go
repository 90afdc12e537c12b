package enforcer

import (
	"net/netip"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

var podRange = netip.MustParsePrefix("10.89.0.0/16")

func pod(name, ip string, of map[string]string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: name, UID: types.UID("uid-" + name), Labels: of}}
	if ip != "" {
		p.Status.PodIPs = []corev1.PodIP{{IP: ip}}
	}
	return p
}

func policy(name string, change func(*networkingv1.NetworkPolicySpec)) *networkingv1.NetworkPolicy {
	p := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: name}}
	p.Spec.PodSelector.MatchLabels = map[string]string{"sandbox": "yes"}
	change(&p.Spec)
	return p
}

func denies(kinds ...networkingv1.PolicyType) func(*networkingv1.NetworkPolicySpec) {
	return func(spec *networkingv1.NetworkPolicySpec) { spec.PolicyTypes = kinds }
}

func TestWhatIsOpenForAPod(t *testing.T) {
	const in, out = networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress
	allowAll := func(spec *networkingv1.NetworkPolicySpec) {
		spec.PolicyTypes = []networkingv1.PolicyType{in, out}
		spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{}}
		spec.Egress = []networkingv1.NetworkPolicyEgressRule{{}}
	}
	somePeers := func(spec *networkingv1.NetworkPolicySpec) {
		spec.PolicyTypes = []networkingv1.PolicyType{out}
		spec.Egress = []networkingv1.NetworkPolicyEgressRule{{To: []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: "10.0.0.0/8"}}}}}
	}
	elsewhere := policy("other", denies(in, out))
	elsewhere.Namespace = "other"
	broken := policy("broken", denies(in, out))
	broken.Spec.PodSelector = metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Nonsense"}}}

	for name, c := range map[string]struct {
		policies    []*networkingv1.NetworkPolicy
		want        access
		unsupported int
	}{
		"no policy leaves it open":                    {nil, access{true, true}, 0},
		"a policy of another namespace is not its":    {[]*networkingv1.NetworkPolicy{elsewhere}, access{true, true}, 0},
		"both types without rules close it both ways": {[]*networkingv1.NetworkPolicy{policy("d", denies(in, out))}, access{}, 0},
		"ingress alone closes ingress":                {[]*networkingv1.NetworkPolicy{policy("d", denies(in))}, access{false, true}, 0},
		"egress alone closes egress":                  {[]*networkingv1.NetworkPolicy{policy("d", denies(out))}, access{true, false}, 0},
		"no types means ingress":                      {[]*networkingv1.NetworkPolicy{policy("d", denies())}, access{false, true}, 0},
		"policies add up to closed":                   {[]*networkingv1.NetworkPolicy{policy("i", denies(in)), policy("e", denies(out))}, access{}, 0},
		"an empty rule opens what another closes":     {[]*networkingv1.NetworkPolicy{policy("d", denies(in, out)), policy("a", allowAll)}, access{true, true}, 0},
		"rules for some peers count as none, told":    {[]*networkingv1.NetworkPolicy{policy("p", somePeers)}, access{true, false}, 1},
		"a selector that does not parse selects it":   {[]*networkingv1.NetworkPolicy{broken}, access{}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, unsupported := decide(pod("a", "", map[string]string{"sandbox": "yes"}), c.policies)
			if got != c.want || len(unsupported) != c.unsupported {
				t.Fatalf("expected %+v and %d refused, found %+v and %v", c.want, c.unsupported, got, unsupported)
			}
		})
	}
	if got, _ := decide(pod("b", "", nil), []*networkingv1.NetworkPolicy{policy("d", denies(in, out))}); got != (access{true, true}) {
		t.Fatalf("a Pod that no policy selects is open, found %+v", got)
	}
}

func TestAnAddressIsClosedUntilItsPodIsKnownAndOpen(t *testing.T) {
	deny := []*networkingv1.NetworkPolicy{policy("d", denies("Ingress", "Egress"))}
	done := pod("done", "10.89.0.9", nil)
	done.Status.Phase = corev1.PodSucceeded
	pods := []*corev1.Pod{
		pod("open", "10.89.0.2", nil),
		pod("shut", "10.89.0.3", map[string]string{"sandbox": "yes"}),
		pod("starting", "", nil),
		pod("heir", "10.89.0.6", nil),
		pod("node", "10.88.0.1", nil),
		done,
	}
	box := func(name, uid, ip string) sandbox {
		return sandbox{namespace: "team", name: name, uid: uid, address: netip.MustParseAddr(ip)}
	}
	got, _ := addresses(podRange, pods, deny, []sandbox{
		box("starting", "uid-starting", "10.89.0.4"), // not yet in the Pod's status
		box("stranger", "", "10.89.0.5"),             // no such Pod
		box("shut", "uid-shut", "10.89.0.6"),         // claimed by an open Pod too
		box("open", "uid-of-its-forerunner", "10.89.0.7"),
	})
	want := map[string]access{
		"10.89.0.2": {true, true}, "10.89.0.3": {}, "10.89.0.4": {true, true},
		"10.89.0.5": {}, "10.89.0.6": {}, "10.89.0.7": {},
	}
	if len(got) != len(want) {
		t.Fatalf("expected %d addresses, found %v", len(want), got)
	}
	for ip, may := range want {
		if found, known := got[netip.MustParseAddr(ip)]; !known || found != may {
			t.Errorf("%s: expected %+v, found %+v (known: %v)", ip, may, found, known)
		}
	}
}

func TestTheRulesLetOnlyKnownOpenTrafficPass(t *testing.T) {
	got := rules(podRange, map[netip.Addr]access{
		netip.MustParseAddr("10.89.0.10"): {true, false},
		netip.MustParseAddr("10.89.0.2"):  {true, true},
		netip.MustParseAddr("10.89.0.3"):  {},
		netip.MustParseAddr("10.89.0.4"):  {false, true},
	})
	want := strings.Join([]string{
		"*mangle", ":REEVE-POLICY - [0:0]", ":REEVE-FROM - [0:0]", ":REEVE-TO - [0:0]",
		"-A REEVE-POLICY -i lo -j RETURN",
		"-A REEVE-POLICY -s 10.89.0.0/16 -j REEVE-FROM",
		"-A REEVE-POLICY -d 10.89.0.0/16 -m addrtype ! --dst-type LOCAL -j REEVE-TO",
		"-A REEVE-FROM -s 10.89.0.2/32 -j RETURN",
		"-A REEVE-TO -d 10.89.0.2/32 -j RETURN",
		"-A REEVE-FROM -s 10.89.0.4/32 -j RETURN",
		"-A REEVE-TO -d 10.89.0.4/32 -m conntrack --ctstate RELATED,ESTABLISHED --ctdir REPLY -j RETURN",
		"-A REEVE-FROM -s 10.89.0.10/32 -m conntrack --ctstate RELATED,ESTABLISHED --ctdir REPLY -j RETURN",
		"-A REEVE-TO -d 10.89.0.10/32 -j RETURN",
		"-A REEVE-FROM -j DROP", "-A REEVE-TO -j DROP", "COMMIT", "",
	}, "\n")
	if got != want {
		t.Fatalf("expected\n%s\nfound\n%s", want, got)
	}
}

func TestAResultOfTheCNILibraryNamesThePodAndItsAddress(t *testing.T) {
	got := parseResult([]byte(`{"kind":"cniCacheV1","containerId":"c0","networkName":"reeve",
		"cniArgs":[["IgnoreUnknown","1"],["K8S_POD_NAMESPACE","team"],["K8S_POD_NAME","a"],["K8S_POD_UID","u"]],
		"result":{"ips":[{"address":"10.89.0.7/16","gateway":"10.89.0.1"}]}}`))
	want := sandbox{namespace: "team", name: "a", uid: "u", address: netip.MustParseAddr("10.89.0.7")}
	if len(got) != 1 || got[0] != want {
		t.Fatalf("expected %+v, found %+v", want, got)
	}
	for _, half := range []string{"", `{"result":`, `{"result":{"ips":[{"address":"nonsense"}]}}`} {
		if found := parseResult([]byte(half)); len(found) != 0 {
			t.Errorf("%q: expected nothing, found %+v", half, found)
		}
	}
}
