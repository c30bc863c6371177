package cli

import (
	"fmt"

	"golang.org/x/net/html"
)

// part is one thing that an element of an HTML page consists of: an attribute, a text
// or another element. It adds itself. Nil is nothing.
//
// Pages are trees that package html writes, and not templates: html/template calls
// methods by their names, for which the linker would have to keep every exported
// method of the program.
type part func(parent *html.Node)

// el is an element. Names of elements are ours.
func el(name string, parts ...part) part {
	return func(parent *html.Node) {
		element := &html.Node{Type: html.ElementNode, Data: name}
		all(parts...)(element)
		parent.AppendChild(element)
		if !inline(name) {
			parent.AppendChild(&html.Node{Type: html.TextNode, Data: "\n"}) // who reads the source sees lines
		}
	}
}

// inline tells whether white space after an element would show.
func inline(name string) bool {
	switch name {
	case "b", "bdi", "br", "code", "span", "td", "text":
		return true
	}
	return false
}

// attr is an attribute. Names of attributes are ours, and so are their values: there
// is no check that an address or a style of others would need.
func attr(key string, value any) part {
	return func(parent *html.Node) {
		parent.Attr = append(parent.Attr, html.Attribute{Key: key, Val: fmt.Sprint(value)})
	}
}

func class(names string) part { return attr("class", names) }

// text is a text, be it ours or of others: what is in it shows and does nothing.
func text(words string) part {
	return func(parent *html.Node) {
		parent.AppendChild(&html.Node{Type: html.TextNode, Data: visible(words)})
	}
}

// foreign is a text of others that may be written from right to left; what stands
// around it keeps its place.
func foreign(words string) part { return el("bdi", text(words)) }

// all is several parts, one after the other.
func all(parts ...part) part {
	return func(parent *html.Node) {
		for _, add := range parts {
			if add != nil {
				add(parent)
			}
		}
	}
}

// only is parts that are there on a condition.
func only(condition bool, parts ...part) part {
	if !condition {
		return nil
	}
	return all(parts...)
}

// each is a part for each item of a list.
func each[T any](list []T, markup func(T) part) part {
	var parts []part
	for _, item := range list {
		parts = append(parts, markup(item))
	}
	return all(parts...)
}
