package enforcer

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	networkinglisters "k8s.io/client-go/listers/networking/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

// resync repairs chains that something else has flushed.
const resync = 10 * time.Second

// Pods of the local cluster have IPv4 addresses only, yet a Pod could reach the node by a link-local IPv6 one:
// whatever comes in on a Pod's interface by IPv6 is dropped. "veth+" is how the ptp plugin names them.
const rulesV6 = "*" + table + "\n:" + chain + " - [0:0]\n-A " + chain + " -i veth+ -j DROP\nCOMMIT\n"

type enforcer struct {
	cidr     netip.Prefix
	results  string
	network  string
	pods     corelisters.PodLister
	policies networkinglisters.NetworkPolicyLister
	applied  string
	told     map[string]bool
}

// Main runs `kube enforcer` until it is told to stop and returns the exit code. The chains stay when it ends;
// `--cleanup` removes them.
func Main(args []string) int {
	flags := flag.NewFlagSet("enforcer", flag.ContinueOnError)
	kubeconfig := flags.String("kubeconfig", "", "kubeconfig of a user who may watch Pods and NetworkPolicies")
	cidr := flags.String("pod-cidr", "10.89.0.0/16", "addresses of Pods; an unknown one of them is closed")
	results := flags.String("cni-results", "/var/lib/cni/results", "where the CNI library keeps its results")
	network := flags.String("cni-network", "reeve", "name of the CNI network")
	cleanup := flags.Bool("cleanup", false, "remove the chains and end")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if *cleanup {
		return exit(removeAll())
	}
	prefix, err := netip.ParsePrefix(*cidr)
	if err != nil {
		return exit(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	e := &enforcer{cidr: prefix, results: *results, network: *network, told: map[string]bool{}}
	return exit(e.run(ctx, *kubeconfig))
}

func exit(err error) int {
	if err != nil {
		log.Printf("enforcer: %v", err)
		return 1
	}
	return 0
}

func (e *enforcer) run(ctx context.Context, kubeconfig string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	changed := make(chan struct{}, 1)
	poke := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	e.pods = factory.Core().V1().Pods().Lister()
	e.policies = factory.Networking().V1().NetworkPolicies().Lister()
	handler := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { poke() },
		UpdateFunc: func(any, any) { poke() },
		DeleteFunc: func(any) { poke() },
	}
	for _, informer := range []cache.SharedIndexInformer{
		factory.Core().V1().Pods().Informer(), factory.Networking().V1().NetworkPolicies().Informer(),
	} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(e.results, 0o700); err != nil {
		return err
	}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	defer watcher.Close()
	if err := watcher.Add(e.results); err != nil {
		return err
	}
	factory.Start(ctx.Done())
	for kind, synced := range factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return fmt.Errorf("stopped before the list of %v was read", kind)
		}
	}
	return e.keepInStep(ctx, changed, watcher)
}

func (e *enforcer) keepInStep(ctx context.Context, changed <-chan struct{}, watcher *fsnotify.Watcher) error {
	tick := time.NewTicker(resync)
	defer tick.Stop()
	for repair := true; ; {
		if err := e.step(repair); err != nil {
			log.Printf("enforcer: %v; trying again", err)
			e.applied = ""
		}
		repair = false
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-watcher.Events:
		case err := <-watcher.Errors:
			log.Printf("enforcer: watching %s: %v", e.results, err)
		case <-tick.C:
			repair = true
		}
	}
}

// step brings the chains in line with what is known. Without repair it trusts that nobody else touched them.
func (e *enforcer) step(repair bool) error {
	pods, err := e.pods.List(labels.Everything())
	if err != nil {
		return err
	}
	policies, err := e.policies.List(labels.Everything())
	if err != nil {
		return err
	}
	open, unsupported := addresses(e.cidr, pods, policies, e.sandboxes())
	for _, name := range unsupported {
		if !e.told[name] {
			e.told[name] = true
			log.Printf("enforcer: NetworkPolicy %s has rules that allow some peers or ports; they cannot be enforced here, "+
				"so the Pods it selects are closed in its directions", name)
		}
	}
	wanted := rules(e.cidr, open)
	if wanted == e.applied && !repair {
		return nil
	}
	if err := restore("iptables-restore", wanted); err != nil {
		return err
	}
	if err := jump("iptables"); err != nil {
		return err
	}
	if repair && haveV6() {
		if err := restore("ip6tables-restore", rulesV6); err != nil {
			return err
		}
		if err := jump("ip6tables"); err != nil {
			return err
		}
	}
	if wanted != e.applied {
		log.Printf("enforcer: in step: %s", summary(open, pods, policies))
	}
	e.applied = wanted
	return nil
}

func summary(open map[netip.Addr]access, pods []*corev1.Pod, policies []*networkingv1.NetworkPolicy) string {
	closed := 0
	for _, may := range open {
		if !may.ingress || !may.egress {
			closed++
		}
	}
	return fmt.Sprintf("%d policies, %d pods, %d addresses, %d of them closed", len(policies), len(pods), len(open), closed)
}

// sandboxes reads what the CNI library wrote after it set up each Pod's network, which is before any of the
// Pod's containers starts. A file that cannot be read yet leaves its address unknown, so closed.
func (e *enforcer) sandboxes() []sandbox {
	files, _ := filepath.Glob(filepath.Join(e.results, e.network+"-*"))
	var found []sandbox
	for _, file := range files {
		if raw, err := os.ReadFile(file); err == nil {
			found = append(found, parseResult(raw)...)
		}
	}
	return found
}

func parseResult(raw []byte) []sandbox {
	var entry struct {
		CniArgs [][2]string `json:"cniArgs"`
		Result  struct {
			IPs []struct {
				Address string `json:"address"`
			} `json:"ips"`
		} `json:"result"`
	}
	if json.Unmarshal(raw, &entry) != nil {
		return nil
	}
	args := map[string]string{}
	for _, pair := range entry.CniArgs {
		args[pair[0]] = pair[1]
	}
	var found []sandbox
	for _, ip := range entry.Result.IPs {
		if prefix, err := netip.ParsePrefix(ip.Address); err == nil {
			found = append(found, sandbox{
				namespace: args["K8S_POD_NAMESPACE"], name: args["K8S_POD_NAME"], uid: args["K8S_POD_UID"],
				address: prefix.Addr(),
			})
		}
	}
	return found
}

// haveV6 reports whether the kernel has IPv6 at all.
func haveV6() bool {
	_, err := os.Stat("/proc/net/if_inet6")
	return err == nil
}

func restore(command, input string) error {
	process := exec.Command(command, "--noflush", "--wait", "5")
	process.Stdin = strings.NewReader(input)
	if out, err := process.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", command, err, strings.TrimSpace(string(out)))
	}
	return nil
}

func tables(command string, args ...string) error {
	return exec.Command(command, append([]string{"--wait", "5", "-t", table}, args...)...).Run()
}

// jump sends what enters the node and what is routed through it to our chain first.
func jump(command string) error {
	for _, from := range []string{"INPUT", "FORWARD"} {
		if tables(command, "-C", from, "-j", chain) == nil {
			continue
		}
		if err := tables(command, "-I", from, "1", "-j", chain); err != nil {
			return fmt.Errorf("%s -I %s: %w", command, from, err)
		}
	}
	return nil
}

// removeAll undoes restore and jump; what is not there is no error.
func removeAll() error {
	for _, command := range []string{"iptables", "ip6tables"} {
		if command == "ip6tables" && !haveV6() {
			continue
		}
		for _, from := range []string{"INPUT", "FORWARD"} {
			for tables(command, "-D", from, "-j", chain) == nil {
			}
		}
		for _, name := range []string{chain, chainFrom, chainTo} {
			_ = tables(command, "-F", name)
		}
		for _, name := range []string{chain, chainFrom, chainTo} {
			_ = tables(command, "-X", name)
		}
		if tables(command, "-S", chain) == nil {
			return fmt.Errorf("%s: chain %s is still there", command, chain)
		}
	}
	return nil
}
