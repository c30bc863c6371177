package cli

import (
	"fmt"
	"io"
)

// node is one line of a tree.
type node struct {
	text     string
	children []*node
}

func newNode(text string) *node { return &node{text: printable(text)} }

func (n *node) add(text string) *node {
	child := newNode(text)
	n.children = append(n.children, child)
	return child
}

func (n *node) pair(key, value string) *node { return n.add(key + ": " + value) }

// print writes the tree with its branches.
func (n *node) print(w io.Writer) {
	fmt.Fprintln(w, n.text)
	n.printChildren(w, "")
}

func (n *node) printChildren(w io.Writer, indent string) {
	for i, child := range n.children {
		child.printAs(w, indent, i == len(n.children)-1)
	}
}

// printAs writes the branch of a child; nil is none.
func (n *node) printAs(w io.Writer, indent string, last bool) {
	if n == nil {
		return
	}
	branch, below := "├── ", "│   "
	if last {
		branch, below = "└── ", "    "
	}
	fmt.Fprintln(w, indent+branch+n.text)
	n.printChildren(w, indent+below)
}
