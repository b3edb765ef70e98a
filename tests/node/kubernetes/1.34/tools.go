//go:build tools

// Package tools names the commands of Kubernetes that run on the test node; nothing here is compiled into anything.
//
// A module apart from the control plane's: its programs are cached by what the module pins, and whoever never starts a
// node should not build an API server anew because of it.
package tools

import (
	_ "k8s.io/kubernetes/cmd/kube-proxy"
	_ "k8s.io/kubernetes/cmd/kubelet"
)
